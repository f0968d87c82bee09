import { render } from 'preact'

// The style sheet becomes a file beside this one.
// oxlint-disable-next-line no-unassigned-import
import '../style/main.css'
import { App } from './ui/app.js'
import { setTheme, themeNow } from './ui/theme.js'

setTheme(themeNow())
const root = document.getElementById('root')
if (root) render(<App />, root)

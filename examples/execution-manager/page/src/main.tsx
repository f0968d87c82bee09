import { render } from 'preact'

import '../style/main.css'
import { App } from './ui/app.js'
import { setTheme, themeNow } from './ui/theme.js'

setTheme(themeNow())
const root = document.getElementById('root')
if (root) render(<App />, root)

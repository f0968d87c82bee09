import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { Dialog } from './dialog.js'
import { SHORTCUTS, shortcutsOn, switchShortcuts } from './shortcuts.js'

const ELSEWHERE = [
  ['Enter, Shift+Enter', 'In the search of the output: next, previous'],
  ['Arrow keys', 'In the plan: to the next step. In the output: up and down'],
  ['Page Up, Page Down', 'In the output: by a page'],
  ['Home, End', 'In the output: to its start; to its end, and follow it'],
  ['Esc', 'Close, or leave the field'],
] as const

export function Help({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [on, setOn] = useState(shortcutsOn())
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <Keys of={Object.entries(SHORTCUTS)} />
      <h3>Where the focus is</h3>
      <Keys of={ELSEWHERE} wide />
      <label class="check">
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => {
            setOn(event.currentTarget.checked)
            switchShortcuts(event.currentTarget.checked)
          }}
        />
        Single keys do something (<kbd>?</kbd> always does)
      </label>
    </Dialog>
  )
}

interface KeysProps {
  readonly of: readonly (readonly [string, string])[]
  readonly wide?: boolean
}

function Keys({ of, wide }: KeysProps): JSX.Element {
  return (
    <dl class={wide === true ? 'keys wide' : 'keys'}>
      {of.map(([keys, does]) => (
        <div key={keys}>
          <dt>
            {keys.split(', ').map((key) => (
              <kbd key={key}>{key}</kbd>
            ))}
          </dt>
          <dd>{does}</dd>
        </div>
      ))}
    </dl>
  )
}

import { useLayoutEffect } from 'preact/hooks'

import { recall, remember } from './hooks.js'

/** All keys that do something wherever the focus is, but in a field. */
export const SHORTCUTS = {
  n: 'Start a run',
  r: 'Search the runs',
  j: 'Next run',
  k: 'Previous run',
  ']': 'Next step',
  '[': 'Previous step',
  '0': 'Output of all steps',
  g: 'Plan',
  t: 'Timeline',
  '/': 'Search the output',
  o: 'Go to the output',
  f: 'Follow the output',
  p: 'Pause the output, and go on',
  w: 'Wrap long lines',
  y: 'Copy the output',
  d: 'Download the output',
  c: 'Cancel the run',
  a: 'Run it again',
  m: 'Switch the colours',
  '?': 'These shortcuts',
} as const

export type Shortcut = keyof typeof SHORTCUTS

const actions = new Map<string, () => void>()
const SETTING = 'shortcuts'

/** Single keys can be in the way of other input, such as speech, so they can be switched off. */
export const shortcutsOn = (): boolean => recall(SETTING) !== 'off'
export const switchShortcuts = (on: boolean): void => {
  remember(SETTING, on ? 'on' : 'off')
}

export function useShortcut(key: Shortcut, action: (() => void) | undefined): void {
  // Before the next key can be pressed.
  useLayoutEffect(() => {
    if (!action) return undefined
    actions.set(key, action)
    return () => {
      if (actions.get(key) === action) actions.delete(key)
    }
  })
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return
  const { target } = event
  const typing =
    target instanceof HTMLElement && target.closest('input:not([type=checkbox]), textarea, select') !== null
  if (typing || document.querySelector('dialog[open]')) return
  if (event.key !== '?' && !shortcutsOn()) return
  const action = actions.get(event.key)
  if (!action) return
  event.preventDefault()
  action()
})

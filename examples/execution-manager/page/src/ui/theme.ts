import { recall, remember } from './hooks.js'

export type Theme = 'auto' | 'dark' | 'light'

const NAMES = ['auto', 'light', 'dark'] as const

export const themeNow = (): Theme => NAMES.find((name) => name === recall('theme')) ?? 'auto'

export function setTheme(theme: Theme): void {
  remember('theme', theme)
  document.documentElement.dataset['theme'] = theme
}

export const nextTheme = (theme: Theme): Theme => NAMES[(NAMES.indexOf(theme) + 1) % NAMES.length] ?? 'auto'

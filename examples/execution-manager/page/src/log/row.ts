import Anser from 'anser'

import type { Line } from './lines.js'
import type { Found } from './search.js'
import { drawn } from './text.js'

export interface RowContent {
  /** Counted from one; of all steps, within its own. */
  readonly number: number
  /** Named where lines of several steps are shown, and its colour. */
  readonly step: { readonly name: string; readonly tint: number } | undefined
  readonly line: Line | 'loading' | 'missing'
  readonly found: readonly Found[]
  /** Which of the lines found is the current one. */
  readonly current: boolean
}

/** A line of a log as an element. Nothing of what was printed becomes HTML. */
export function rowOf({ number, step, line, found, current }: RowContent): HTMLElement {
  const row = element('div', 'row')
  row.dataset['n'] = String(number)
  if (current) row.classList.add('current')
  if (step) {
    const name = element('span', `step-name tint-${String(step.tint)}`)
    name.textContent = step.name
    row.append(name)
  }
  const text = element('span', 'text')
  row.append(text)
  if (line === 'loading' || line === 'missing') {
    row.classList.add(line)
    text.textContent = line === 'loading' ? '…' : 'not in the log, or the log cannot be read'
    return row
  }
  if (line.stderr) row.classList.add('stderr')
  const shown = drawn(line.text)
  if (!shown.includes('\x1b')) {
    mark(text, shown, 0, found)
    return row
  }
  let start = 0
  for (const piece of Anser.ansiToJson(shown, { json: true, use_classes: true, remove_empty: true })) {
    const span = element('span', piece.decorations.join(' '))
    colour(span, 'fg', piece.fg, piece.fg_truecolor)
    colour(span, 'bg', piece.bg, piece.bg_truecolor)
    mark(span, piece.content, start, found)
    text.append(span)
    start += piece.content.length
  }
  return row
}

function element(name: 'div' | 'mark' | 'span', className: string): HTMLElement {
  const made = document.createElement(name)
  if (className !== '') made.className = className
  return made
}

/** Appends text that begins at `start` of its line, with what was found in it marked. */
function mark(to: HTMLElement, text: string, start: number, found: readonly Found[]): void {
  let at = 0
  for (const [from, end] of found) {
    const low = Math.max(from - start, at)
    const high = Math.min(end - start, text.length)
    if (low >= high) continue
    const marked = element('mark', '')
    marked.textContent = text.slice(low, high)
    to.append(text.slice(at, low), marked)
    at = high
  }
  to.append(text.slice(at))
}

type Colour = string | null | undefined

function colour(span: HTMLElement, which: 'bg' | 'fg', name: Colour, truecolor: Colour): void {
  if (!name) return
  const own = name === 'ansi-truecolor' ? truecolor : palette(name)
  if (own) span.style.setProperty(which === 'fg' ? 'color' : 'background-color', `rgb(${own})`)
  else span.classList.add(`${name}-${which}`)
}

const LEVELS = [0, 95, 135, 175, 215, 255]

/** The colour of `ansi-palette-N`: of the cube of 6 x 6 x 6, or of the greys after it. */
function palette(name: string): string | undefined {
  const number = Number(/^ansi-palette-(\d+)$/.exec(name)?.[1] ?? Number.NaN)
  if (Number.isNaN(number)) return undefined
  if (number >= 232) return Array.from({ length: 3 }, () => 8 + (number - 232) * 10).join(', ')
  const cube = number - 16
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((level) => LEVELS[level] ?? 0).join(', ')
}

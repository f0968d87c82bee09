import type { Line, Lines } from './lines.js'
import { rowOf } from './row.js'
import { find, type Found, type Query } from './search.js'
import type { Source } from './source.js'
import { plain, rows } from './text.js'

interface Shown {
  readonly index: number
  readonly element: HTMLElement
  /** What it was drawn from, so that it is drawn again when that changes. */
  readonly line: Line | 'loading' | 'missing'
}

/** Told whether it stays at the end, and how many lines are below what is seen. */
export type OnMoved = (following: boolean, below: number) => void

const ROW = 19
// Browsers have a limit of some 16 million pixels; beyond this the bar stands for more than it measures.
const MAX_HEIGHT = 6_000_000
const WHEEL_LINE = 3

/**
 * Draws the lines that are seen, and only these. Where it stands is a line (`#top`, with a fraction of its height), not a
 * number of pixels: so it is exact in a log of any length, wrapped or not. The bar of the browser follows it.
 */
export class LineList {
  readonly #spacer = document.createElement('div')
  readonly #layer = document.createElement('div')
  readonly #rows = document.createElement('div')
  readonly #resize: ResizeObserver
  readonly #leave = new AbortController()
  #source: Source | undefined
  #end = 0
  #top = 0
  #following = true
  #frozen = false
  #wrap = false
  #query: Query | undefined
  #current: number | undefined
  #shown: Shown[] = []
  #due = false
  #bar = 0
  #columns = 80
  #height = 0
  #cell = 7

  constructor(
    private readonly scroller: HTMLElement,
    private readonly lines: Lines,
    private readonly tint: (step: string) => number,
    private readonly onMoved: OnMoved,
  ) {
    this.#spacer.className = 'spacer'
    this.#layer.className = 'layer'
    this.#rows.className = 'rows'
    this.#layer.append(this.#rows)
    this.#spacer.append(this.#layer)
    scroller.replaceChildren(this.#spacer)
    this.#resize = new ResizeObserver(() => {
      this.#measure()
    })
    this.#resize.observe(scroller)
    const { signal } = this.#leave
    scroller.addEventListener(
      'scroll',
      () => {
        this.#scrolled()
      },
      { signal, passive: true },
    )
    scroller.addEventListener(
      'wheel',
      (event) => {
        this.#wheel(event)
      },
      { signal, passive: false },
    )
    scroller.addEventListener(
      'keydown',
      (event) => {
        this.#key(event)
      },
      { signal },
    )
    document.addEventListener(
      'selectionchange',
      () => {
        this.#selected()
      },
      { signal },
    )
  }

  close(): void {
    this.#leave.abort()
    this.#resize.disconnect()
  }

  show(source: Source): void {
    this.#source = source
    this.#current = undefined
    this.#frozen = false
    this.#shown = []
    this.#rows.replaceChildren()
    this.#rows.style.minWidth = ''
    this.follow()
  }

  get following(): boolean {
    return this.#following
  }

  /** Goes to the end, and stays there. */
  follow(): void {
    this.#following = true
    this.draw()
  }

  unfollow(): void {
    this.#following = false
    this.draw()
  }

  /** What comes from now on is kept, and not shown until it goes on. */
  freeze(frozen: boolean): void {
    this.#frozen = frozen
    this.draw()
  }

  wrap(wrap: boolean): void {
    this.#wrap = wrap
    this.scroller.classList.toggle('wrapped', wrap)
    this.#rows.style.minWidth = ''
    this.#redraw()
  }

  mark(query: Query | undefined, current: number | undefined): void {
    this.#query = query
    this.#current = current
    this.#redraw()
  }

  /** Puts a line in the middle. */
  reveal(index: number): void {
    this.#following = false
    this.#top = index
    this.#move(-(this.#height - ROW) / 2)
  }

  /** The first line that is seen. */
  get top(): number {
    return Math.floor(this.#top)
  }

  /** Draws what is seen, before the next frame. */
  draw(): void {
    if (this.#due) return
    this.#due = true
    requestAnimationFrame(() => {
      this.#due = false
      this.#draw()
    })
  }

  #redraw(): void {
    this.#shown = []
    this.draw()
  }

  #measure(): void {
    this.#height = this.scroller.clientHeight
    this.#layer.style.height = `${String(this.#height)}px`
    const probe = rowOf({
      number: 1,
      step: undefined,
      line: { text: '0'.repeat(100), stderr: false },
      found: [],
      current: false,
    })
    probe.classList.add('probe')
    this.#rows.append(probe)
    const text = probe.querySelector('.text')
    if (text) this.#cell = text.getBoundingClientRect().width / 100
    probe.remove()
    this.#redraw()
  }

  #heightOf(index: number): number {
    if (!this.#wrap) return ROW
    const place = this.#source?.at(index)
    const line = place && this.lines.peek(place.step, place.index)
    return line ? rows(line.text, this.#columns) * ROW : ROW
  }

  #draw(): void {
    const source = this.#source
    if (!source || this.#height === 0) return
    if (!this.#frozen) this.#end = source.end
    const last = this.#lastTop()
    if (this.#following) this.#top = last
    this.#top = Math.max(source.first, Math.min(this.#top, last))
    if (this.#wrap) {
      const prefix = source.steps === 'many' ? STEP_CELLS : 0
      const room = this.scroller.clientWidth - GUTTER - prefix * this.#cell
      this.#columns = Math.max(20, Math.floor(room / this.#cell))
      this.#rows.style.setProperty('--columns', String(this.#columns))
    }
    const first = Math.floor(this.#top)
    const offset = (this.#top - first) * this.#heightOf(first)
    let index = first
    for (let filled = -offset; filled < this.#height && index < this.#end; index += 1) filled += this.#heightOf(index)
    this.#fill(source, first, index)
    this.#rows.style.transform = `translateY(${String(-offset)}px)`
    this.#syncBar(last)
    this.onMoved(this.#following, source.end - index)
  }

  /** Makes the rows from `first` to before `end`, and keeps those that are there. */
  #fill(source: Source, first: number, end: number): void {
    const kept = new Map(this.#shown.map((shown) => [shown.index, shown]))
    const next: Shown[] = []
    for (let index = first; index < end; index += 1) {
      const place = source.at(index)
      if (!place) continue
      const missing = this.lines.failed(place.step, place.index) ? 'missing' : 'loading'
      const line = this.lines.get(place.step, place.index) ?? missing
      const known = kept.get(index)
      if (known?.line === line) {
        next.push(known)
        continue
      }
      const found: Found[] = this.#query && typeof line === 'object' ? find(plain(line.text), this.#query) : []
      const step = source.steps === 'many' ? { name: place.step, tint: this.tint(place.step) } : undefined
      const current = index === this.#current
      next.push({ index, line, element: rowOf({ number: place.index + 1, step, line, found, current }) })
    }
    this.#place(next)
    this.#shown = next
    // Lines that are wider than those before would make what is seen jump back and forth.
    if (!this.#wrap) {
      const wide = this.#rows.scrollWidth
      if (wide > this.#rows.clientWidth) this.#rows.style.minWidth = `${String(wide)}px`
    }
  }

  #place(next: readonly Shown[]): void {
    const wanted = new Set(next.map(({ element }) => element))
    const gone = Array.from(this.#rows.children).filter((child) => child instanceof HTMLElement && !wanted.has(child))
    for (const element of gone) element.remove()
    let before: ChildNode | null = this.#rows.firstChild
    for (const { element } of next) {
      if (element === before) before = before.nextSibling
      else this.#rows.insertBefore(element, before)
    }
  }

  /** Where it stands when the last line is at the bottom. */
  #lastTop(): number {
    const first = this.#source?.first ?? 0
    let room = this.#height
    for (let index = this.#end - 1; index >= first; index -= 1) {
      const height = this.#heightOf(index)
      if (height >= room) return index + (height - room) / height
      room -= height
    }
    return first
  }

  #move(pixels: number): void {
    const first = this.#source?.first ?? 0
    let index = Math.floor(this.#top)
    let offset = (this.#top - index) * this.#heightOf(index) + pixels
    while (offset < 0 && index > first) {
      index -= 1
      offset += this.#heightOf(index)
    }
    while (offset >= this.#heightOf(index) && index < this.#end) {
      offset -= this.#heightOf(index)
      index += 1
    }
    this.#top = index + Math.max(0, offset) / this.#heightOf(index)
    this.#following = this.#top >= this.#lastTop() && !this.#frozen
    this.draw()
  }

  /** Sets the bar to where it stands. */
  #syncBar(last: number): void {
    const first = this.#source?.first ?? 0
    const height = Math.min(Math.max((this.#end - first) * ROW, this.#height), MAX_HEIGHT)
    this.#spacer.style.height = `${String(height)}px`
    const bar = last > first ? ((this.#top - first) / (last - first)) * (height - this.#height) : 0
    if (Math.abs(this.scroller.scrollTop - bar) >= 1) this.scroller.scrollTop = bar
    this.#bar = this.scroller.scrollTop
  }

  /** The bar was moved by somebody else. */
  #scrolled(): void {
    const { scrollTop, clientHeight } = this.scroller
    if (Math.abs(scrollTop - this.#bar) < 1) return
    // Not by somebody, but by the browser, as there is more room or less: that is told next, and drawn then.
    if (Math.abs(clientHeight - this.#height) >= 1) return
    const first = this.#source?.first ?? 0
    const last = this.#lastTop()
    const room = this.scroller.scrollHeight - this.#height
    const atEnd = scrollTop >= room - 1
    this.#top = room > 0 ? first + (scrollTop / room) * (last - first) : first
    this.#following = atEnd && !this.#frozen
    this.#bar = scrollTop
    this.draw()
  }

  #wheel(event: WheelEvent): void {
    if (event.ctrlKey || event.shiftKey || event.deltaY === 0) return
    event.preventDefault()
    const unit =
      event.deltaMode === WheelEvent.DOM_DELTA_LINE
        ? ROW
        : event.deltaMode === WheelEvent.DOM_DELTA_PAGE
          ? this.#height
          : 1
    this.#move(event.deltaY * unit)
    if (event.deltaX !== 0) this.scroller.scrollLeft += event.deltaX * unit
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.scroller) return
    const page = this.#height - ROW
    const by = { ArrowUp: -ROW * WHEEL_LINE, ArrowDown: ROW * WHEEL_LINE, PageUp: -page, PageDown: page, ' ': page }
    const pixels = Object.entries(by).find(([key]) => key === event.key)?.[1]
    if (pixels !== undefined) this.#move(pixels)
    else if (event.key === 'Home') {
      this.#following = false
      this.#top = this.#source?.first ?? 0
      this.draw()
    } else if (event.key === 'End') this.follow()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  /** What was selected would scroll away. */
  #selected(): void {
    const selection = getSelection()
    if (this.#following && selection && !selection.isCollapsed && this.#layer.contains(selection.anchorNode))
      this.unfollow()
  }
}

/** The width of the numbers, in pixels, and of the names of steps, in cells; as in the style sheet. */
const GUTTER = 72
const STEP_CELLS = 16

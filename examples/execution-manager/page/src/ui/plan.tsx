import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'

import type { Step } from '../../../src/api.js'
import { BOX, drawingOf, type Arrow, type Box } from '../run/layout.js'
import { duration, stepTook } from './format.js'
import { Icon } from './icon.js'
import { Glyph, labelOf } from './status.js'

interface PlanProps {
  readonly steps: readonly Step[]
  readonly critical: ReadonlySet<string>
  readonly selected: string | undefined
  readonly now: number
  readonly onSelect: (step: string | undefined) => void
}

const SMALLEST = 0.7

const px = (value: number): string => `${String(value)}px`

/** The steps and what they depend on. One of them is in the order of Tab; arrow keys lead to the others. */
export function Plan({ steps, critical, selected, now, onSelect }: PlanProps): JSX.Element {
  const shape = JSON.stringify(steps.map(({ name, dependsOn }) => ({ name, dependsOn })))
  const drawing = useMemo(() => drawingOf(steps), [shape])
  const byName = new Map(steps.map((step) => [step.name, step]))
  const room = useRef<HTMLDivElement>(null)
  const buttons = useRef(new Map<string, HTMLButtonElement>())
  const [fit, setFit] = useState(true)
  const scale = useScale(room, drawing.width, drawing.height, fit)
  const entry = selected ?? drawing.boxes[0]?.name

  // What is chosen is brought into sight; at first, what goes on.
  const inSight = selected ?? steps.find(({ status }) => status === 'running')?.name
  const isKnown = selected !== undefined || inSight !== undefined
  useEffect(() => {
    const box = drawing.boxes.find(({ name }) => name === inSight)
    if (box && room.current) bring(room.current, box, scale)
  }, [drawing, scale, selected, isKnown])
  const onKeyDown = (event: KeyboardEvent, from: Box): void => {
    const next = neighbour(drawing.boxes, from, event.key)
    if (!next) return
    event.preventDefault()
    buttons.current.get(next.name)?.focus()
  }
  return (
    <div class="plan">
      <div class="plan-room" ref={room}>
        <div class="plan-size" style={{ width: px(drawing.width * scale), height: px(drawing.height * scale) }}>
          <div
            class="drawing"
            style={{ width: px(drawing.width), height: px(drawing.height), transform: `scale(${String(scale)})` }}
          >
            <svg width={drawing.width} height={drawing.height} aria-hidden="true">
              <defs>
                <marker
                  id="tip"
                  viewBox="0 0 8 8"
                  refX="7"
                  refY="4"
                  markerWidth="7"
                  markerHeight="7"
                  orient="auto-start-reverse"
                >
                  <path d="M0 .8L7 4 0 7.2z" />
                </marker>
                <marker
                  id="tip-critical"
                  viewBox="0 0 8 8"
                  refX="7"
                  refY="4"
                  markerWidth="5"
                  markerHeight="5"
                  orient="auto-start-reverse"
                >
                  <path d="M0 .8L7 4 0 7.2z" />
                </marker>
              </defs>
              {criticalLast(drawing.arrows, critical).map(({ from, to, path }) => {
                const isCritical = critical.has(from) && critical.has(to)
                const when = byName.get(to)?.when
                return (
                  <path
                    key={`${from} ${to}`}
                    class={`arrow ${isCritical ? 'critical' : ''} ${when === 'success' ? '' : 'conditional'}`}
                    d={path}
                    marker-end={isCritical ? 'url(#tip-critical)' : 'url(#tip)'}
                  />
                )
              })}
            </svg>
            {drawing.boxes.map((box) => {
              const step = byName.get(box.name)
              if (!step) return null
              const isCritical = critical.has(step.name)
              return (
                <button
                  key={step.name}
                  ref={(element) => {
                    if (element) buttons.current.set(step.name, element)
                  }}
                  type="button"
                  class={`node is-${step.status} ${isCritical ? 'critical' : ''}`}
                  style={{ left: px(box.x), top: px(box.y), width: px(BOX.width), height: px(BOX.height) }}
                  tabIndex={step.name === entry ? 0 : -1}
                  aria-pressed={step.name === selected}
                  onClick={() => {
                    onSelect(step.name === selected ? undefined : step.name)
                  }}
                  onKeyDown={(event) => {
                    onKeyDown(event, box)
                  }}
                >
                  <Glyph status={step.status} />
                  <span class="node-row">
                    <span class="name">{step.name}</span>
                    <Tries step={step} />
                  </span>
                  <span class="node-row">
                    <span class="state">{stateOf(step, now)}</span>
                    {/* What changes all the time is not said again and again. */}
                    <span class="aside" aria-hidden={step.durationMs === null}>
                      {tookOf(step, now)}
                    </span>
                  </span>
                  {isCritical && <span class="unseen">on the critical path</span>}
                </button>
              )
            })}
          </div>
        </div>
      </div>
      <div class="legend">
        <span class="critical-key">Critical path</span>
        {steps.some(({ when }) => when !== 'success') && (
          <span class="conditional-key">Runs on failure, or always</span>
        )}
        {(scale < 1 || !fit) && (
          <button
            type="button"
            class="button small"
            aria-pressed={fit}
            onClick={() => {
              setFit(!fit)
            }}
          >
            <Icon name="fit" />
            <span>Fit</span>
          </button>
        )}
      </div>
    </div>
  )
}

/** Scrolls the room, and nothing around it, so that the box is seen. */
function bring(room: HTMLElement, box: Box, scale: number): void {
  const [x, y] = [box.x * scale, box.y * scale]
  const isSeen =
    x >= room.scrollLeft &&
    y >= room.scrollTop &&
    x + BOX.width * scale <= room.scrollLeft + room.clientWidth &&
    y + BOX.height * scale <= room.scrollTop + room.clientHeight
  if (isSeen) return
  room.scrollTo(x - (room.clientWidth - BOX.width * scale) / 2, y - (room.clientHeight - BOX.height * scale) / 2)
}

function stateOf({ status, retrying }: Step, now: number): string {
  if (retrying === null) return labelOf(status)
  const left = Date.parse(retrying.at) - now
  return left > 0 ? `Retry in ${duration(left)}` : 'Retry queued'
}

function Tries({ step }: { readonly step: Step }): JSX.Element | null {
  const tries = step.status === 'running' ? step.attempts.length + 1 : step.attempts.length
  if (tries < 2) return null
  return (
    <span class="aside" title={`${String(tries)} tries`}>
      <span aria-hidden="true">×{tries}</span>
      <span class="unseen">{tries} tries</span>
    </span>
  )
}

/** While it waits for its next attempt, the time until then is what counts, and stands alone. */
function tookOf(step: Step, now: number): string {
  return (step.retrying === null ? stepTook(step, now) : undefined) ?? ''
}

/** So that no other arrow is drawn over one of the critical path. */
const criticalLast = (arrows: readonly Arrow[], critical: ReadonlySet<string>): readonly Arrow[] =>
  arrows.toSorted((a, b) => rank(a, critical) - rank(b, critical))

const rank = ({ from, to }: Arrow, critical: ReadonlySet<string>): number =>
  critical.has(from) && critical.has(to) ? 1 : 0

/** The box that is next in the direction of an arrow key: near along it, and not far aside. */
function neighbour(boxes: readonly Box[], from: Box, key: string): Box | undefined {
  const along = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] } as const
  const found = Object.entries(along).find(([name]) => name === key)
  if (!found) return undefined
  const [x, y] = found[1]
  let best: Box | undefined
  let least = Infinity
  for (const box of boxes) {
    const ahead = (box.x - from.x) * x + (box.y - from.y) * y
    const aside = Math.abs((box.x - from.x) * y) + Math.abs((box.y - from.y) * x)
    if (ahead > 0 && ahead + aside * 2 < least) {
      least = ahead + aside * 2
      best = box
    }
  }
  return best
}

/** How much smaller the drawing is to be, so that it fits into its room and can still be read. */
function useScale(room: { readonly current: HTMLElement | null }, width: number, height: number, fit: boolean): number {
  const [scale, set] = useState(1)
  useEffect(() => {
    const element = room.current
    if (!element) return undefined
    const measure = (): void => {
      const least = Math.min(element.clientWidth / width, element.clientHeight / height, 1)
      set(fit && width > 0 ? Math.max(SMALLEST, least) : 1)
    }
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => {
      observer.disconnect()
    }
  }, [room, width, height, fit])
  return scale
}

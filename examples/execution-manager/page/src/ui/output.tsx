import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { copy, download, heldText } from '../log/export.js'
import { LineList } from '../log/list.js'
import { Search, type Query } from '../log/search.js'
import type { Source } from '../log/source.js'
import type { Watch } from '../run/watch.js'
import { announce } from './announce.js'
import { count, counted } from './format.js'
import { useRemembered } from './hooks.js'
import { Icon, IconButton } from './icon.js'
import { useShortcut } from './shortcuts.js'

const TINTS = 6
// What changes with each frame is told a few times a second.
const FIGURES_MS = 250

interface OutputProps {
  readonly watch: Watch
  readonly step: string | undefined
  readonly onSelect: (step: string | undefined) => void
}

interface Figures {
  readonly lines: number
  readonly rate: number
  readonly following: boolean
  readonly below: number
  readonly matches: number
  readonly at: number
  readonly searching: boolean
  readonly limit: Search['limit']
}

const NO_FIGURES: Figures = {
  lines: 0,
  rate: 0,
  following: true,
  below: 0,
  matches: 0,
  at: 0,
  searching: false,
  limit: undefined,
}

/** The output of a step, or of all. */
export function Output({ watch, step, onSelect }: OutputProps): JSX.Element {
  const steps = watch.run?.steps ?? []
  const [paused, setPaused] = useState(false)
  const [wrap, setWrap] = useRemembered('wrap', 'no')
  const [text, setText] = useState('')
  const [matchCase, setMatchCase] = useState(false)
  const room = useRef<HTMLDivElement>(null)
  const field = useRef<HTMLInputElement>(null)
  const { view, figures } = useView(watch, room, step, text === '' ? undefined : { text, matchCase })

  useEffect(() => {
    view.current?.list.wrap(wrap === 'yes')
  }, [wrap, view])
  useEffect(() => {
    setPaused(false)
  }, [step])

  const pause = (): void => {
    view.current?.list.freeze(!paused)
    setPaused(!paused)
    announce(paused ? 'Output goes on' : 'Output paused: lines are kept, and shown when it goes on')
  }
  const follow = (): void => {
    if (paused) pause()
    view.current?.list.follow()
  }
  const onCopy = async (): Promise<void> => {
    const { text, copied } = heldText(watch.source(step), watch.lines)
    try {
      await copy(text)
      announce(
        `Copied ${counted(copied, 'line')}${copied < figures.lines ? ', the newest; download the log for all' : ''}`,
      )
    } catch (error) {
      announce(`Not copied: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const onDownload = async (): Promise<void> => {
    const names =
      step === undefined
        ? steps.filter(({ lines, name }) => lines > 0 || watch.lines.count(name) > 0).map(({ name }) => name)
        : [step]
    try {
      const file = `${watch.run?.playbook ?? 'run'}-${watch.id.slice(0, 8)}${step === undefined ? '' : `-${step}`}.log`
      await download(watch.id, names, file, (pages) => {
        if (pages % 50 === 0) announce(`Downloading: ${counted(pages, 'page')} so far`)
      })
      announce('The log was downloaded')
    } catch (error) {
      announce(`Not downloaded: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  useShortcut('/', () => field.current?.select())
  useShortcut('o', () => room.current?.focus())
  useShortcut('f', follow)
  useShortcut('p', pause)
  useShortcut('w', () => {
    setWrap(wrap === 'yes' ? 'no' : 'yes')
  })
  useShortcut('y', () => {
    void onCopy()
  })
  useShortcut('d', () => {
    void onDownload()
  })
  useShortcut('0', () => {
    onSelect(undefined)
  })

  return (
    <section class="output" aria-label="Output">
      <div class="toolbar" role="toolbar" aria-label="Output">
        <select
          aria-label="Output of"
          value={step ?? ''}
          onChange={(event) => {
            onSelect(event.currentTarget.value || undefined)
          }}
        >
          <option value="">All steps</option>
          {steps.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <div class="find" role="search" aria-label="Output">
          <label class="field search">
            <Icon name="search" />
            <input
              ref={field}
              type="search"
              value={text}
              placeholder="Search output"
              aria-label="Search output"
              aria-keyshortcuts="/"
              onInput={(event) => {
                setText(event.currentTarget.value)
              }}
              onKeyDown={(event) => {
                if (event.key === 'Enter') {
                  event.preventDefault()
                  view.current?.step(event.shiftKey ? -1 : 1)
                } else if (event.key === 'Escape') {
                  setText('')
                  room.current?.focus()
                }
              }}
            />
            {text !== '' && (
              <span class="matches" role="status">
                {matchesOf(figures)}
              </span>
            )}
          </label>
          <button
            type="button"
            class="button square case"
            aria-label="Match case"
            title="Match case"
            aria-pressed={matchCase}
            onClick={() => {
              setMatchCase(!matchCase)
            }}
          >
            Aa
          </button>
          <IconButton
            icon="up"
            label="Previous match"
            disabled={figures.matches === 0}
            onClick={() => {
              view.current?.step(-1)
            }}
          />
          <IconButton
            icon="down"
            label="Next match"
            disabled={figures.matches === 0}
            onClick={() => {
              view.current?.step(1)
            }}
          />
        </div>
        <div class="tools">
          <IconButton
            icon="follow"
            label="Follow"
            keys="f"
            pressed={figures.following && !paused}
            onClick={() => {
              if (figures.following && !paused) view.current?.list.unfollow()
              else follow()
            }}
          />
          <IconButton
            icon={paused ? 'play' : 'pause'}
            label={paused ? 'Go on' : 'Pause'}
            keys="p"
            pressed={paused}
            onClick={pause}
          />
          <IconButton
            icon="wrap"
            label="Wrap lines"
            keys="w"
            pressed={wrap === 'yes'}
            onClick={() => {
              setWrap(wrap === 'yes' ? 'no' : 'yes')
            }}
          />
          <IconButton
            icon="copy"
            label="Copy"
            keys="y"
            onClick={() => {
              void onCopy()
            }}
          />
          <IconButton
            icon="download"
            label="Download the log"
            keys="d"
            onClick={() => {
              void onDownload()
            }}
          />
        </div>
        <span class="figures">
          {counted(figures.lines, 'line')}
          {figures.rate > 0 && <span class="rate">{count(figures.rate)}/s</span>}
        </span>
      </div>
      <div class="log-frame">
        <div class="log" ref={room} tabIndex={0} role="region" aria-label={`Output of ${step ?? 'all steps'}`} />
        {figures.lines === 0 && (
          <p class="empty log-empty">Nothing has been printed{step === undefined ? '' : ` by ${step}`} yet.</p>
        )}
        {(paused || (!figures.following && figures.below > 0)) && (
          <button type="button" class="button jump" onClick={follow}>
            <Icon name="follow" />
            <span>
              {paused ? 'Paused: ' : ''}
              {counted(figures.below, 'line')} below
            </span>
          </button>
        )}
      </div>
    </section>
  )
}

function matchesOf({ matches, at, searching, limit }: Figures): string {
  if (matches === 0) return searching ? 'searching …' : limit === 'error' ? 'the log cannot be read' : 'not found'
  const many = `${count(matches)}${searching || limit !== undefined ? '+' : ''}`
  return at === 0 ? many : `${count(at)} of ${many}`
}

interface View {
  readonly list: LineList
  search: Search | undefined
  current: number | undefined
  /** Where to go as soon as something is found. */
  wanted: 1 | -1 | undefined
  /** Goes to the next match, or to the one before. */
  step(direction: 1 | -1): void
  /** Tells the figures. */
  readonly publish: () => void
}

interface Joined {
  readonly view: { readonly current: View | undefined }
  readonly figures: Figures
}

/**
 * Joins the list, the search and what is told of both. They live outside of what is drawn by Preact, and change before
 * the next key is pressed.
 */
function useView(
  watch: Watch,
  room: { readonly current: HTMLDivElement | null },
  step: string | undefined,
  query: Query | undefined,
): Joined {
  const view = useRef<View | undefined>(undefined)
  const [figures, setFigures] = useState(NO_FIGURES)
  const state = useRef({ following: true, below: 0, source: watch.source(step) })

  useLayoutEffect(() => {
    const element = room.current
    if (!element) return undefined
    const tint = (name: string): number =>
      Math.max(0, watch.run?.steps.findIndex((one) => one.name === name) ?? 0) % TINTS
    const list = new LineList(element, watch.lines, tint, (following, below) => {
      state.current = { ...state.current, following, below }
    })
    const made: View = {
      list,
      search: undefined,
      current: undefined,
      wanted: undefined,
      step(direction) {
        const { search } = made
        const next = search?.next(made.current ?? (direction === 1 ? list.top - 1 : list.top), direction)
        made.wanted = next === undefined && search?.done === false ? direction : undefined
        if (next === undefined) return
        made.current = next
        list.reveal(next)
        list.mark(search?.query, next)
        made.publish()
      },
      publish: () => {
        const next = figuresOf(watch, made, state.current)
        setFigures((before) => (same(before, next) ? before : next))
      },
    }
    view.current = made
    const off = watch.printed.on(() => {
      list.draw()
      made.search?.more()
    })
    const timer = setInterval(made.publish, FIGURES_MS)
    return () => {
      clearInterval(timer)
      off()
      made.search?.stop()
      list.close()
    }
  }, [watch, room])

  useLayoutEffect(() => {
    state.current.source = watch.source(step)
    view.current?.list.show(watch.source(step))
    view.current?.publish()
  }, [watch, step])

  useLayoutEffect(() => {
    const made = view.current
    if (!made) return
    made.search?.stop()
    made.current = undefined
    made.wanted = undefined
    const found = (): void => {
      if (made.wanted !== undefined) made.step(made.wanted)
    }
    made.search = query && new Search(watch.source(step), watch.lines, query, found)
    made.list.mark(query, undefined)
    made.publish()
  }, [watch, step, query?.text, query?.matchCase])

  return { view, figures }
}

interface Standing {
  readonly following: boolean
  readonly below: number
  readonly source: Source
}

function figuresOf(watch: Watch, { search, current }: View, { following, below, source }: Standing): Figures {
  const matches = search?.matches ?? []
  return {
    lines: source.end,
    rate: watch.rate,
    following,
    below,
    matches: matches.length,
    at: current === undefined ? 0 : matches.indexOf(current) + 1,
    searching: search?.done === false,
    limit: search?.limit,
  }
}

const same = (a: Figures, b: Figures): boolean => JSON.stringify(a) === JSON.stringify(b)

import type { JSX } from 'preact'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

import type { RunSummary } from '../../../src/api.js'
import { runs as fetchRuns } from '../run/service.js'
import { clock, took } from './format.js'
import { useNow } from './hooks.js'
import { Icon, IconButton } from './icon.js'
import { go, hashOf } from './route.js'
import { useShortcut } from './shortcuts.js'
import { Glyph, isOver, labelOf, type Status } from './status.js'

const EVERY_MS = 2_000
const PAGE = 50
const MAX = 1_000
const STATUSES = ['running', 'pending', 'completed', 'failed', 'cancelled', 'timeout', 'interrupted'] as const

interface RunsProps {
  readonly selected: string | undefined
  /** Of the selected one: when it changes, the list is asked for again. */
  readonly status: Status | undefined
  readonly playbooks: readonly string[]
  readonly onNew: () => void
  /** Called with how the service could not be asked, or that it could. */
  readonly onReached: (problem: Error | undefined) => void
}

/** The runs, newest first, kept up to date while the page is seen. */
export function Runs({ selected, status: selectedStatus, playbooks, onNew, onReached }: RunsProps): JSX.Element {
  const [text, setText] = useState('')
  const [status, setStatus] = useState('')
  const [playbook, setPlaybook] = useState('')
  const [limit, setLimit] = useState(PAGE)
  const runs = useRuns({ text, status, playbook, limit }, `${selected ?? ''} ${selectedStatus ?? ''}`, onReached)
  const search = useRef<HTMLInputElement>(null)
  const now = useNow(runs?.some((run) => !isOver(run.status)) ?? false, 1_000)

  useShortcut('r', () => search.current?.focus())
  const step = (by: number): void => {
    if (!runs || runs.length === 0) return
    const at = runs.findIndex(({ id }) => id === selected)
    const next = runs[Math.max(0, Math.min(runs.length - 1, at === -1 ? 0 : at + by))]
    if (next) go({ run: next.id })
  }
  useShortcut('j', () => {
    step(1)
  })
  useShortcut('k', () => {
    step(-1)
  })

  const filtered = text !== '' || status !== '' || playbook !== ''
  return (
    <nav class="runs" aria-label="Runs">
      <div class="runs-head">
        <h2>Runs</h2>
        <button type="button" class="button primary" aria-keyshortcuts="n" title="Start a run  (n)" onClick={onNew}>
          <Icon name="plus" />
          <span>New run</span>
        </button>
      </div>
      <div class="filters" role="search" aria-label="Runs">
        <label class="field search">
          <Icon name="search" />
          <input
            ref={search}
            type="search"
            value={text}
            placeholder="Search runs"
            aria-label="Search runs"
            aria-keyshortcuts="r"
            onInput={(event) => {
              setText(event.currentTarget.value)
            }}
            onKeyDown={(event) => {
              if (event.key === 'Escape') event.currentTarget.blur()
            }}
          />
        </label>
        <Choice label="Status" all="Any status" of={STATUSES} nameOf={labelOf} value={status} onChange={setStatus} />
        <Choice label="Playbook" all="Any playbook" of={playbooks} value={playbook} onChange={setPlaybook} />
      </div>
      {runs === undefined && <p class="empty">Loading …</p>}
      {runs?.length === 0 && <p class="empty">{filtered ? 'No run is like that.' : 'Nothing has run yet.'}</p>}
      <ul class="run-list">
        {runs?.map((run) => (
          <Row key={run.id} run={run} selected={run.id === selected} now={now} />
        ))}
      </ul>
      {runs && runs.length >= limit && limit < MAX && (
        <button
          type="button"
          class="button more"
          onClick={() => {
            setLimit(Math.min(MAX, limit * 2))
          }}
        >
          Older runs
        </button>
      )}
      {filtered && (
        <div class="filtered">
          <IconButton
            icon="close"
            label="Clear the filter"
            text
            onClick={() => {
              setText('')
              setStatus('')
              setPlaybook('')
            }}
          />
        </div>
      )}
    </nav>
  )
}

interface ChoiceProps<Value extends string> {
  readonly label: string
  /** What it is called when nothing is chosen. */
  readonly all: string
  readonly of: readonly Value[]
  /** What one of them is called; by default what it is. */
  readonly nameOf?: (value: Value) => string
  readonly value: string
  readonly onChange: (value: string) => void
}

function Choice<Value extends string>(props: ChoiceProps<Value>): JSX.Element {
  const { label, all, of, nameOf = String, value, onChange } = props
  return (
    <select
      aria-label={label}
      value={value}
      onChange={(event) => {
        onChange(event.currentTarget.value)
      }}
    >
      <option value="">{all}</option>
      {of.map((one) => (
        <option key={one} value={one}>
          {nameOf(one)}
        </option>
      ))}
    </select>
  )
}

function Row({
  run,
  selected,
  now,
}: {
  readonly run: RunSummary
  readonly selected: boolean
  readonly now: number
}): JSX.Element {
  const item = useRef<HTMLLIElement>(null)
  useEffect(() => {
    if (selected) item.current?.scrollIntoView({ block: 'nearest' })
  }, [selected])
  return (
    <li ref={item}>
      <a href={hashOf({ run: run.id })} aria-current={selected ? 'page' : undefined}>
        <Glyph status={run.status} />
        <span class="name">{run.playbook}</span>
        <span class="took">{took(run, now)}</span>
        <span class="detail">
          {labelOf(run.status)}
          <span class="id">{run.id.slice(0, 8)}</span>
        </span>
        <span class="when">{clock(run.startedAt, now)}</span>
      </a>
    </li>
  )
}

interface Filter {
  readonly text: string
  readonly status: string
  readonly playbook: string
  readonly limit: number
}

function useRuns(
  { text, status, playbook, limit }: Filter,
  news: string,
  onReached: RunsProps['onReached'],
): RunSummary[] | undefined {
  const [runs, set] = useState<RunSummary[]>()
  const reached = useCallback(onReached, [])
  // What has just happened is to be seen at once.
  useEffect(() => {
    const leave = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async (): Promise<void> => {
      try {
        const answer = await fetchRuns({ text, status, playbook, limit }, leave.signal)
        set(answer.runs)
        reached(undefined)
      } catch (error) {
        if (leave.signal.aborted) return
        reached(error instanceof Error ? error : new Error(String(error)))
      }
      timer = setTimeout(() => {
        if (document.visibilityState === 'visible') void look()
      }, EVERY_MS)
    }
    const seen = (): void => {
      clearTimeout(timer)
      if (document.visibilityState === 'visible') void look()
    }
    // While somebody types, each letter is no question of its own.
    timer = setTimeout(() => void look(), text === '' ? 0 : 150)
    document.addEventListener('visibilitychange', seen)
    return () => {
      leave.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', seen)
    }
  }, [text, status, playbook, limit, news, reached])
  return runs
}

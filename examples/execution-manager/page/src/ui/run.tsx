import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'

import type { Run } from '../../../src/api.js'
import { criticalPath } from '../run/path.js'
import { Watch } from '../run/watch.js'
import { announce } from './announce.js'
import { Cancel } from './cancel.js'
import { ConnectionState } from './connection.js'
import { clock, counted, took } from './format.js'
import { useNow, useRemembered, useSignal } from './hooks.js'
import { Icon } from './icon.js'
import { Output } from './output.js'
import { Plan } from './plan.js'
import { go, hashOf } from './route.js'
import { useShortcut } from './shortcuts.js'
import { Splitter } from './splitter.js'
import type { Draft } from './start.js'
import { Badge, isOver, labelOf, type Status } from './status.js'
import { RunDetails, StepDetails } from './step.js'
import { Timeline } from './timeline.js'

interface RunViewProps {
  readonly id: string
  readonly step: string | undefined
  readonly onAgain: (draft: Draft) => void
  readonly onStatus: (status: Status | undefined) => void
}

/** A run as it goes on. */
export function RunView({ id, step, onAgain, onStatus }: RunViewProps): JSX.Element {
  const watch = useMemo(() => new Watch(id), [id])
  useEffect(
    () => () => {
      watch.close()
    },
    [watch],
  )
  useSignal(watch.changed)
  useAnnounced(watch)
  const { run } = watch
  useEffect(() => {
    onStatus(run?.status)
  }, [run?.status, onStatus])
  const over = run !== undefined && isOver(run.status)
  const now = useNow(run !== undefined && !over)
  const [tab, setTab] = useRemembered('tab', 'plan')
  const [cancelling, setCancelling] = useState(false)
  const [split, setSplit] = useRemembered('split', '44')

  const select = (name: string | undefined): void => {
    go({ run: id, step: name }, 'replace')
  }
  const move = (by: number): void => {
    const names = run?.steps.map(({ name }) => name) ?? []
    const at = step === undefined ? (by > 0 ? -1 : names.length) : names.indexOf(step)
    select(names[Math.max(0, Math.min(names.length - 1, at + by))])
  }
  const again =
    run &&
    (() => {
      onAgain({ playbook: run.playbook, parameters: run.parameters })
    })
  useShortcut('g', () => {
    setTab('plan')
  })
  useShortcut('t', () => {
    setTab('timeline')
  })
  useShortcut(']', () => {
    move(1)
  })
  useShortcut('[', () => {
    move(-1)
  })
  useShortcut(
    'c',
    run && !over
      ? () => {
          setCancelling(true)
        }
      : undefined,
  )
  useShortcut('a', again)

  if (watch.connection.state === 'refused' && !run) {
    return (
      <div class="run-missing">
        <h1>{watch.connection.error.status === 404 ? 'There is no such run' : 'The run cannot be shown'}</h1>
        <p>{watch.connection.error.message}</p>
        <a href={hashOf({})}>To the playbooks</a>
      </div>
    )
  }
  if (!run) {
    return (
      <div class="run-missing">
        <p class="empty">Loading …</p>
        <ConnectionState watch={watch} />
      </div>
    )
  }
  const critical = criticalPath(run.steps, now)
  const shown = watch.step(step)
  const shared = { steps: run.steps, critical, selected: step, now, onSelect: select }
  return (
    <div class="run" style={{ '--split': `${split}%` }}>
      <header class="run-head">
        <a class="button square back" href={hashOf({})} aria-label="Back to the runs">
          <Icon name="left" />
        </a>
        <div class="run-title">
          <h1 tabIndex={-1}>{run.playbook}</h1>
          <Badge status={run.status} />
          <span class="run-took">{took(run, now)}</span>
          <span class="run-started">started {clock(run.startedAt, now)}</span>
          <Progress run={run} />
        </div>
        <div class="run-actions">
          <ConnectionState watch={watch} />
          <button type="button" class="button" aria-keyshortcuts="a" title="Run it again  (a)" onClick={again}>
            <Icon name="again" />
            <span>Run again</span>
          </button>
          {!over && (
            <button
              type="button"
              class="button danger-quiet"
              aria-keyshortcuts="c"
              title="Cancel the run  (c)"
              onClick={() => {
                setCancelling(true)
              }}
            >
              <Icon name="stop" />
              <span>Cancel</span>
            </button>
          )}
        </div>
      </header>
      {run.error !== null && (
        <p class="fault banner" role="alert">
          {run.error}
        </p>
      )}
      {watch.fault !== undefined && (
        <p class="fault banner" role="alert">
          {watch.fault}
        </p>
      )}
      <div class="upper">
        <div class="pane">
          <div class="tabs" role="tablist" aria-label="View of the steps">
            <Tab name="plan" label="Plan" selected={tab !== 'timeline'} onSelect={setTab} />
            <Tab name="timeline" label="Timeline" selected={tab === 'timeline'} onSelect={setTab} />
          </div>
          <div
            class="tab-panel"
            role="tabpanel"
            id="panel"
            aria-labelledby={tab === 'timeline' ? 'tab-timeline' : 'tab-plan'}
          >
            {tab === 'timeline' ? <Timeline run={run} {...shared} /> : <Plan {...shared} />}
          </div>
        </div>
        {shown ? (
          <StepDetails step={shown} now={now} onSelect={select} />
        ) : (
          <RunDetails run={run} critical={critical} now={now} onSelect={select} />
        )}
      </div>
      <Splitter
        value={Number(split)}
        onChange={(value) => {
          setSplit(String(value))
        }}
      />
      <Output watch={watch} step={shown?.name} onSelect={select} />
      {cancelling && !over && (
        <Cancel
          run={run}
          onClose={() => {
            setCancelling(false)
          }}
        />
      )}
    </div>
  )
}

function Progress({ run }: { readonly run: Run }): JSX.Element {
  const done = run.steps.filter(({ status }) => isOver(status)).length
  return (
    <span class="progress">
      <progress max={run.steps.length} value={done} aria-label="Steps that have ended" />
      {done} of {counted(run.steps.length, 'step')}
    </span>
  )
}

interface TabProps {
  readonly name: string
  readonly label: string
  readonly selected: boolean
  readonly onSelect: (name: string) => void
}

function Tab({ name, label, selected, onSelect }: TabProps): JSX.Element {
  return (
    <button
      type="button"
      role="tab"
      id={`tab-${name}`}
      aria-selected={selected}
      aria-controls="panel"
      tabIndex={selected ? 0 : -1}
      onClick={() => {
        onSelect(name)
      }}
      onKeyDown={({ key, currentTarget }) => {
        if (key !== 'ArrowLeft' && key !== 'ArrowRight') return
        const other = currentTarget.nextElementSibling ?? currentTarget.previousElementSibling
        if (other instanceof HTMLElement) {
          other.focus()
          other.click()
        }
      }}
    >
      {label}
    </button>
  )
}

/** Says how the run and its steps end, and names the run in the title of the page. */
function useAnnounced(watch: Watch): void {
  const before = useRef(new Map<string, string>())
  const { run } = watch
  useEffect(() => {
    if (!run) return
    document.title = `${labelOf(run.status)}: ${run.playbook}`
    const known = before.current
    const ended = run.steps.filter(
      ({ name, status }) => known.has(name) && known.get(name) !== status && isOver(status) && status !== 'skipped',
    )
    const all = known.get('') !== undefined && known.get('') !== run.status && isOver(run.status)
    if (all) announce(`${run.playbook}: ${labelOf(run.status)}`)
    else if (ended.length > 0) announce(ended.map(({ name, status }) => `${name}: ${labelOf(status)}`).join(', '))
    before.current = new Map([['', run.status], ...run.steps.map(({ name, status }) => [name, status] as const)])
  }, [run])
  useEffect(
    () => () => {
      document.title = 'Execution Manager'
    },
    [],
  )
}

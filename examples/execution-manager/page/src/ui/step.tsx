import type { ComponentChildren, JSX } from 'preact'

import type { Run, Step } from '../../../src/api.js'
import { count, duration, moment, stepTook, took, value } from './format.js'
import { IconButton } from './icon.js'
import { Badge, labelOf } from './status.js'

interface Shown {
  readonly now: number
  readonly onSelect: (step: string | undefined) => void
}

/** All that is known of a step. */
export function StepDetails({ step, now, onSelect }: Shown & { readonly step: Step }): JSX.Element {
  const { retrying } = step
  const taken = stepTook(step, now)
  return (
    <aside class="details" aria-label={`Step ${step.name}`}>
      <div class="details-head">
        <h2>{step.name}</h2>
        <IconButton
          icon="close"
          label="Back to the run"
          onClick={() => {
            onSelect(undefined)
          }}
        />
      </div>
      <Badge status={step.status} />
      {step.error !== null && (
        <p class="fault">
          <span>{step.error}</span>
          {step.errorCode !== null && <code>{step.errorCode}</code>}
        </p>
      )}
      {retrying && (
        <p class="note">
          Attempt {retrying.attempt} follows{' '}
          {Date.parse(retrying.at) > now ? `in ${duration(Date.parse(retrying.at) - now)}` : 'when its turn comes'}:{' '}
          {step.attempts.at(-1)?.error}
        </p>
      )}
      {step.command !== null && <pre class="command">{step.command}</pre>}
      <dl>
        {step.startedAt !== null && <Fact name="Started">{moment(step.startedAt)}</Fact>}
        {taken !== undefined && <Fact name="Took">{taken}</Fact>}
        {step.queuedMs !== null && step.queuedMs >= 1 && <Fact name="Waited">{duration(step.queuedMs)}</Fact>}
        {step.exitCode !== null && <Fact name="Exit code">{step.exitCode}</Fact>}
        {step.signal !== null && <Fact name="Signal">{step.signal}</Fact>}
        <Fact name="Output">
          {count(step.lines)} lines{step.truncated ? ', not all in the result' : ''}
        </Fact>
        {step.dependsOn.length > 0 && <Fact name="After">{step.dependsOn.join(', ')}</Fact>}
        {step.when !== 'success' && <Fact name="Runs">{step.when === 'failure' ? 'after a failure' : 'always'}</Fact>}
      </dl>
      {step.attempts.length > 0 && (
        <>
          <h3>Attempts</h3>
          <ol class="attempts">
            {step.attempts.map((attempt, index) => (
              <li key={index}>
                <span>
                  {attempt.error ??
                    (attempt.exitCode === null ? (attempt.signal ?? '') : `exit code ${String(attempt.exitCode)}`)}
                </span>
                <span class="took">{duration(attempt.durationMs)}</span>
              </li>
            ))}
          </ol>
        </>
      )}
      {step.outputs !== null && Object.keys(step.outputs).length > 0 && (
        <>
          <h3>Outputs</h3>
          <Values of={step.outputs} />
        </>
      )}
    </aside>
  )
}

/** All that is known of a run, where no step is chosen. */
export function RunDetails({
  run,
  critical,
  now,
  onSelect,
}: Shown & { readonly run: Run; readonly critical: ReadonlySet<string> }): JSX.Element {
  const states = new Map<Step['status'], number>()
  for (const { status } of run.steps) states.set(status, (states.get(status) ?? 0) + 1)
  const failed = run.steps.filter(({ status }) => status === 'failed' || status === 'timeout')
  return (
    <aside class="details" aria-label="Run">
      <h2>Run</h2>
      {run.description !== '' && <p class="description">{run.description}</p>}
      <dl>
        <Fact name="Started">{moment(run.startedAt)}</Fact>
        <Fact name="Took">{took(run, now)}</Fact>
        <Fact name="Steps">
          {[...states].map(([status, many]) => `${String(many)} ${labelOf(status).toLowerCase()}`).join(', ')}
        </Fact>
        <Fact name="Id">
          <code>{run.id}</code>
        </Fact>
      </dl>
      {failed.length > 0 && (
        <>
          <h3>Failed</h3>
          <ul class="links">
            {failed.map((step) => (
              <li key={step.name}>
                <StepLink step={step} onSelect={onSelect} /> {step.error}
              </li>
            ))}
          </ul>
        </>
      )}
      {critical.size > 1 && (
        <>
          <h3>Critical path</h3>
          <ol class="attempts">
            {run.steps
              .filter(({ name }) => critical.has(name))
              .map((step) => (
                <li key={step.name}>
                  <StepLink step={step} onSelect={onSelect} />
                  <span class="took">{stepTook(step, now)}</span>
                </li>
              ))}
          </ol>
        </>
      )}
      {Object.keys(run.parameters).length > 0 && (
        <>
          <h3>Parameters</h3>
          <Values of={run.parameters} />
        </>
      )}
    </aside>
  )
}

function StepLink({ step, onSelect }: Pick<Shown, 'onSelect'> & { readonly step: Step }): JSX.Element {
  return (
    <button
      type="button"
      class="link"
      onClick={() => {
        onSelect(step.name)
      }}
    >
      {step.name}
    </button>
  )
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Values({ of }: { readonly of: Readonly<Record<string, unknown>> }): JSX.Element {
  return (
    <dl class="values">
      {Object.entries(of).map(([name, one]) => (
        <Fact key={name} name={name}>
          <code>{value(one)}</code>
        </Fact>
      ))}
    </dl>
  )
}

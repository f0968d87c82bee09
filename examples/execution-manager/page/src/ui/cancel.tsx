import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import type { Run } from '../../../src/api.js'
import { cancel } from '../run/service.js'
import { announce } from './announce.js'
import { Dialog } from './dialog.js'
import { counted } from './format.js'
import { Icon } from './icon.js'

/** Asks before it cancels. */
export function Cancel({ run, onClose }: { readonly run: Run; readonly onClose: () => void }): JSX.Element {
  const [reason, setReason] = useState('')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const running = run.steps.filter(({ status }) => status === 'running').length
  const waiting = run.steps.filter(({ status }) => status === 'waiting' || status === 'pending').length
  const submit = async (): Promise<void> => {
    setBusy(true)
    try {
      await cancel(run.id, reason)
      announce(`${run.playbook} is being cancelled`)
      onClose()
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title={`Cancel ${run.playbook}?`} narrow onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <p>
          {counted(running, 'running step')} will be ended, with every process that it started;{' '}
          {counted(waiting, 'step')} will not start.
        </p>
        <label class="labelled">
          <span class="label">
            Reason <span class="type">optional</span>
          </span>
          <input
            type="text"
            data-first
            value={reason}
            autocomplete="off"
            onInput={(event) => {
              setReason(event.currentTarget.value)
            }}
          />
        </label>
        {problem !== undefined && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            Keep it running
          </button>
          <button type="submit" class="button danger" disabled={busy}>
            <Icon name="stop" />
            <span>{busy ? 'Cancelling …' : 'Cancel the run'}</span>
          </button>
        </div>
      </form>
    </Dialog>
  )
}

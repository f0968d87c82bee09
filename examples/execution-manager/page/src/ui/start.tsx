import type { JSX, TargetedInputEvent } from 'preact'
import { useState } from 'preact/hooks'

import type { ParameterInfo, PlaybookInfo } from '../../../src/api.js'
import { start, ServiceError } from '../run/service.js'
import { announce } from './announce.js'
import { Dialog } from './dialog.js'
import { value as shown } from './format.js'
import { Icon } from './icon.js'
import { go } from './route.js'

/** What a start begins with: a playbook, and perhaps the parameters of an earlier run. */
export interface Draft {
  readonly playbook: string | undefined
  readonly parameters: Readonly<Record<string, unknown>>
}

interface StartProps {
  readonly playbooks: readonly PlaybookInfo[]
  readonly draft: Draft
  readonly onClose: () => void
}

type Values = Readonly<Record<string, boolean | string>>

export function Start({ playbooks, draft, onClose }: StartProps): JSX.Element {
  const [name, setName] = useState(draft.playbook ?? playbooks[0]?.name ?? '')
  const playbook = playbooks.find((one) => one.name === name)
  const [values, setValues] = useState<Values>(() => initial(playbook, draft.parameters))
  const [problem, setProblem] = useState<ServiceError>()
  const [busy, setBusy] = useState(false)

  const choose = (next: string): void => {
    setName(next)
    setValues(
      initial(
        playbooks.find((one) => one.name === next),
        {},
      ),
    )
    setProblem(undefined)
  }
  const submit = async (): Promise<void> => {
    if (!playbook || busy) return
    setBusy(true)
    setProblem(undefined)
    try {
      const { id } = await start({ playbook: name, parameters: parametersOf(playbook, values) })
      announce(`${name} was started`)
      onClose()
      go({ run: id })
    } catch (error) {
      setProblem(error instanceof ServiceError ? error : new ServiceError(String(error), 0))
      setBusy(false)
    }
  }
  const culprit = playbook?.parameters.find((parameter) => isOf(problem?.field, parameter.name))
  return (
    <Dialog title="Start a run" onClose={onClose}>
      <form
        class="start"
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <label class="labelled">
          <span class="label">Playbook</span>
          <select
            data-first={draft.playbook === undefined}
            value={name}
            onChange={(event) => {
              choose(event.currentTarget.value)
            }}
          >
            {playbooks.map((one) => (
              <option key={one.name} value={one.name}>
                {one.title ?? one.name}
              </option>
            ))}
          </select>
        </label>
        {playbook && <p class="description">{playbook.description}</p>}
        {playbook?.parameters.map((parameter) => (
          <Field
            first={parameter === playbook.parameters[0] && draft.playbook !== undefined}
            key={`${name} ${parameter.name}`}
            parameter={parameter}
            value={values[parameter.name] ?? ''}
            problem={culprit === parameter ? problem?.message : undefined}
            onChange={(next) => {
              setValues({ ...values, [parameter.name]: next })
            }}
          />
        ))}
        {problem && !culprit && (
          <p class="problem" role="alert">
            {problem.message}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" class="button primary" disabled={busy || !playbook}>
            <Icon name="play" />
            <span>{busy ? 'Starting …' : 'Start'}</span>
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface FieldProps {
  /** Whether the focus is to be here at first. */
  readonly first: boolean
  readonly parameter: ParameterInfo
  readonly value: boolean | string
  readonly problem: string | undefined
  readonly onChange: (value: boolean | string) => void
}

function Field({ first, parameter, value, problem, onChange }: FieldProps): JSX.Element {
  const id = `parameter-${parameter.name}`
  const about = `${id}-about`
  const shared = {
    id,
    'data-first': first,
    required: parameter.required,
    'aria-describedby': about,
    'aria-invalid': problem !== undefined,
  }
  return (
    <div class={problem === undefined ? 'labelled' : 'labelled invalid'}>
      <label class="label" for={id}>
        {parameter.name}
        <span class="type">
          {parameter.type}
          {parameter.required ? ', required' : ''}
          {parameter.secret ? ', secret' : ''}
        </span>
      </label>
      <Input parameter={parameter} value={value} shared={shared} onChange={onChange} />
      <div id={about} class="about">
        {problem !== undefined && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        {parameter.description}
      </div>
    </div>
  )
}

interface InputProps extends Pick<FieldProps, 'onChange' | 'parameter' | 'value'> {
  readonly shared: {
    readonly id: string
    readonly 'data-first': boolean
    readonly required: boolean
    readonly 'aria-describedby': string
    readonly 'aria-invalid': boolean
  }
}

function Input({ parameter, value, shared, onChange }: InputProps): JSX.Element {
  const text = String(value)
  if (parameter.enum && parameter.type !== 'list') {
    return (
      <select
        {...shared}
        value={text}
        onChange={(event) => {
          onChange(event.currentTarget.value)
        }}
      >
        {!parameter.required && <option value="" />}
        {parameter.enum.map((one) => (
          <option key={shown(one)} value={shown(one)}>
            {shown(one)}
          </option>
        ))}
      </select>
    )
  }
  if (parameter.type === 'boolean') {
    return (
      <input
        {...shared}
        required={false}
        type="checkbox"
        checked={value === true}
        onChange={(event) => {
          onChange(event.currentTarget.checked)
        }}
      />
    )
  }
  if (parameter.type === 'list') {
    return (
      <textarea
        {...shared}
        rows={3}
        placeholder="One a line"
        value={text}
        onInput={(event) => {
          onChange(event.currentTarget.value)
        }}
      />
    )
  }
  const onInput = (event: TargetedInputEvent<HTMLInputElement>): void => {
    onChange(event.currentTarget.value)
  }
  if (parameter.secret)
    return <input {...shared} type="password" autocomplete="new-password" value={text} onInput={onInput} />
  if (parameter.type === 'string')
    return <input {...shared} type="text" autocomplete="off" value={text} onInput={onInput} />
  const step = parameter.type === 'number' ? 'any' : 1
  return <input {...shared} type="number" step={step} value={text} onInput={onInput} />
}

/** What the fields hold at first. A secret of an earlier run is not known, and is asked for again. */
function initial(playbook: PlaybookInfo | undefined, earlier: Readonly<Record<string, unknown>>): Values {
  return Object.fromEntries(
    (playbook?.parameters ?? []).map((parameter): [string, boolean | string] => {
      const known = parameter.secret ? undefined : (earlier[parameter.name] ?? parameter.default)
      if (parameter.type === 'boolean') return [parameter.name, known === true]
      if (Array.isArray(known)) return [parameter.name, known.map(shown).join('\n')]
      return [parameter.name, known === undefined || known === null ? '' : shown(known)]
    }),
  )
}

/** What is sent: an empty field is a parameter that is not given. The service checks the rest. */
function parametersOf(playbook: PlaybookInfo, values: Values): Record<string, unknown> {
  const given: Record<string, unknown> = {}
  for (const { name, type } of playbook.parameters) {
    const value = values[name]
    if (typeof value === 'boolean') given[name] = value
    else if (value !== undefined && value !== '') given[name] = typed(type, value)
  }
  return given
}

function typed(type: ParameterInfo['type'], text: string): unknown {
  if (type === 'list')
    return text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
  if (type === 'number' || type === 'integer') return Number(text)
  return text
}

/** Whether the path `parameters.regions[2]` is of the parameter `regions`. */
function isOf(field: string | undefined, name: string): boolean {
  const path = field?.replace(/^parameters\./, '')
  return path === name || path?.startsWith(`${name}[`) === true || path?.startsWith(`${name}.`) === true
}

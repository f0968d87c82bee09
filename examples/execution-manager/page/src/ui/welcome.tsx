import type { JSX } from 'preact'

import type { PlaybookInfo } from '../../../src/api.js'
import { counted } from './format.js'
import { Icon } from './icon.js'

interface WelcomeProps {
  readonly playbooks: readonly PlaybookInfo[] | undefined
  readonly problems: readonly string[]
  readonly onStart: (playbook: string) => void
}

/** What can be run. */
export function Welcome({ playbooks, problems, onStart }: WelcomeProps): JSX.Element {
  return (
    <div class="welcome">
      <h1>Playbooks</h1>
      {problems.map((problem) => (
        <p key={problem} class="fault banner" role="alert">
          {problem}
        </p>
      ))}
      {playbooks === undefined && <p class="empty">Loading …</p>}
      {playbooks?.length === 0 && <p class="empty">The folder of playbooks is empty.</p>}
      <ul class="cards">
        {playbooks?.map((playbook) => (
          <li key={playbook.name} class="card">
            <h2>{playbook.title ?? playbook.name}</h2>
            <p class="description">{playbook.description}</p>
            <ol class="card-steps">
              {playbook.steps.map(({ name, when }) => (
                <li key={name} class={when === 'success' ? '' : 'conditional'}>
                  {name}
                </li>
              ))}
            </ol>
            <p class="card-foot">
              <span>
                {counted(playbook.steps.length, 'step')}, {counted(playbook.parameters.length, 'parameter')}
              </span>
              <button
                type="button"
                class="button"
                aria-label={`Start ${playbook.title ?? playbook.name}`}
                onClick={() => {
                  onStart(playbook.name)
                }}
              >
                <Icon name="play" />
                <span>Start</span>
              </button>
            </p>
          </li>
        ))}
      </ul>
    </div>
  )
}

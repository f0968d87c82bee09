import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'

import type { PlaybookInfo } from '../../../src/api.js'
import { playbooks as fetchPlaybooks, ServiceError } from '../run/service.js'
import { Announcer, announce } from './announce.js'
import { Help } from './help.js'
import { IconButton } from './icon.js'
import { Mark } from './mark.js'
import { hashOf, useRoute } from './route.js'
import { RunView } from './run.js'
import { Runs } from './runs.js'
import { useShortcut } from './shortcuts.js'
import { SignIn } from './sign-in.js'
import { Start, type Draft } from './start.js'
import type { Status } from './status.js'
import { nextTheme, setTheme, themeNow, type Theme } from './theme.js'
import { Welcome } from './welcome.js'

const THEMES = { auto: 'as the system has it', dark: 'dark', light: 'light' } as const
const THEME_ICONS = { auto: 'auto', dark: 'moon', light: 'sun' } as const

export function App(): JSX.Element {
  const route = useRoute()
  const [problem, setProblem] = useState<Error>()
  const { list, problems, look } = usePlaybooks(setProblem)
  const [draft, setDraft] = useState<Draft>()
  const [help, setHelp] = useState(false)
  const [status, setStatus] = useState<Status>()
  const [theme, choose] = useState<Theme>(themeNow)

  const begin = (next: Draft): void => {
    // Playbooks may have been edited since.
    look()
    setDraft(next)
  }
  const newRun = (): void => {
    begin({ playbook: undefined, parameters: {} })
  }
  const turn = (): void => {
    const next = nextTheme(theme)
    setTheme(next)
    choose(next)
    announce(`Colours: ${THEMES[next]}`)
  }
  useShortcut('n', newRun)
  useShortcut('?', () => {
    setHelp(true)
  })
  useShortcut('m', turn)

  if (problem instanceof ServiceError && problem.status === 401) return <SignIn />
  return (
    <div class={route.run === undefined ? 'app' : 'app has-run'}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          document.querySelector('main')?.focus()
        }}
      >
        To the content
      </a>
      <header class="top">
        <a class="brand" href={hashOf({})}>
          <Mark />
          Execution Manager
        </a>
        <div class="top-tools">
          <IconButton icon={THEME_ICONS[theme]} label={`Colours: ${THEMES[theme]}`} keys="m" onClick={turn} />
          <IconButton
            icon="keys"
            label="Keyboard shortcuts"
            keys="?"
            onClick={() => {
              setHelp(true)
            }}
          />
        </div>
      </header>
      {problem && <Unreached problem={problem} />}
      <Runs
        selected={route.run}
        status={status}
        playbooks={list?.map(({ name }) => name) ?? []}
        onNew={newRun}
        onReached={setProblem}
      />
      <main id="main" tabIndex={-1}>
        {route.run === undefined ? (
          <Welcome
            playbooks={list}
            problems={problems}
            onStart={(playbook) => {
              begin({ playbook, parameters: {} })
            }}
          />
        ) : (
          <RunView key={route.run} id={route.run} step={route.step} onAgain={begin} onStatus={setStatus} />
        )}
      </main>
      {draft && list && (
        <Start
          playbooks={list}
          draft={draft}
          onClose={() => {
            setDraft(undefined)
          }}
        />
      )}
      {help && (
        <Help
          onClose={() => {
            setHelp(false)
          }}
        />
      )}
      <Announcer />
    </div>
  )
}

function Unreached({ problem }: { readonly problem: Error }): JSX.Element {
  return (
    <p class="fault banner" role="alert">
      {problem.message}. It is tried again.
    </p>
  )
}

interface Playbooks {
  readonly list: readonly PlaybookInfo[] | undefined
  readonly problems: readonly string[]
  readonly look: () => void
}

const AGAIN_MS = 3_000

function usePlaybooks(onProblem: (problem: Error | undefined) => void): Playbooks {
  const [known, set] = useState<Omit<Playbooks, 'look'>>({ list: undefined, problems: [] })
  const [asked, ask] = useState(0)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async (): Promise<void> => {
      try {
        const { playbooks, problems } = await fetchPlaybooks()
        set({ list: playbooks, problems })
        onProblem(undefined)
      } catch (error) {
        onProblem(error instanceof Error ? error : new Error(String(error)))
        timer = setTimeout(() => void look(), AGAIN_MS)
      }
    }
    void look()
    return () => {
      clearTimeout(timer)
    }
  }, [asked])
  return {
    ...known,
    look: () => {
      ask(asked + 1)
    },
  }
}

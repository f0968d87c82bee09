import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { signIn } from '../run/service.js'
import { Mark } from './mark.js'

/** Asks for the token of the service, and begins anew with it. */
export function SignIn(): JSX.Element {
  const [problem, setProblem] = useState<string>()
  const submit = async (token: string): Promise<void> => {
    try {
      await signIn(token)
      location.reload()
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    }
  }
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const token = new FormData(event.currentTarget).get('token')
          if (typeof token === 'string') void submit(token)
        }}
      >
        <h1 class="brand">
          <Mark />
          Execution Manager
        </h1>
        <label>
          The token of this service
          <input
            autofocus
            type="password"
            name="token"
            autocomplete="current-password"
            required
            aria-invalid={problem !== undefined}
          />
        </label>
        {problem !== undefined && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="button primary">
          Sign in
        </button>
      </form>
    </main>
  )
}

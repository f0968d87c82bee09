import type { JSX } from 'preact'

import type { Watch } from '../run/watch.js'
import { useNow } from './hooks.js'

/** Whether what is seen is what is. */
export function ConnectionState({ watch }: { readonly watch: Watch }): JSX.Element {
  const { connection } = watch
  const now = useNow(connection.state === 'waiting', 250)
  switch (connection.state) {
    case 'live':
      return <span class="connection is-live">Live</span>
    case 'connecting':
      return <span class="connection is-connecting">Connecting …</span>
    case 'ended':
      return <span class="connection is-ended">All received</span>
    case 'refused':
      return (
        <span class="connection is-lost" role="alert">
          {connection.error.message}
        </span>
      )
    case 'waiting':
      return (
        <span class="connection is-lost" role="alert" title={connection.reason}>
          Reconnecting in {Math.max(0, Math.ceil((connection.at - now) / 1_000))} s
          <button type="button" class="link" onClick={watch.retryNow}>
            now
          </button>
        </span>
      )
  }
}

// The clock of the service: what it says of the start of a run is by that, and may differ from the one of this machine.

let ahead = 0
// The header counts whole seconds, and takes its time to come.
const NOTABLE_MS = 2_000

/** Learns from an answer how far the clock of the service is ahead. */
export function learnClock(response: Response): void {
  const told = Date.parse(response.headers.get('date') ?? '')
  if (Number.isNaN(told)) return
  const difference = told - Date.now()
  ahead = Math.abs(difference) < NOTABLE_MS ? 0 : difference
}

/** The time at the service, in milliseconds since 1970. */
export const serviceNow = (): number => Date.now() + ahead

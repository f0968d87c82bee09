// The arguments of `npm run bench`.

import { parseArgs } from 'node:util'

export const usage = `npm run bench -- [--quick] [--only ROW]… [--rounds N] [--list]

  --quick     smaller amounts and two rounds: a minute or two, and rough figures
  --only ROW  only the row of that id, or the rows whose ids begin so; may be repeated
  --rounds N  how often each contender is measured (5)
  --list      prints the ids of the rows
`

export function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  })
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5))
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds: expected a positive integer`)
  return { ...values, rounds }
}

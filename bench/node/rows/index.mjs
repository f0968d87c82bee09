// Everything that is measured, in the order of the table.

import { loadRows } from './load.mjs'
import { memoryRows } from './memory.mjs'
import { lineRows, readRows } from './output.mjs'
import { startRows } from './starts.mjs'

/** @param {import('../sample.mjs').Circumstances} circumstances */
export const allRows = (circumstances) => [
  ...startRows(circumstances),
  ...lineRows(circumstances),
  ...readRows(circumstances),
  ...memoryRows(circumstances),
  ...loadRows(),
]

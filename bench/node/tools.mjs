// The small programs that the measurements need, compiled into a directory of their own.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @template T
 * @param {(directory: string) => T | Promise<T>} work
 */
export async function withTools(work) {
  const directory = mkdtempSync(join(tmpdir(), 'execution-engine-bench-'))
  try {
    for (const tool of ['floor', 'lines', 'log']) {
      const source = fileURLToPath(new URL(`tools/${tool}.c`, import.meta.url))
      execFileSync('cc', ['-O2', '-o', join(directory, tool), source])
    }
    return await work(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

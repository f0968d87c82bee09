// What runs in the child processes of the sandboxed contender.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** @param {import('bullmq').SandboxedJob} job */
export default async function run(job) {
  const { program, args, lines } = job.data
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  if (lines) for await (const line of createInterface({ input: child.stdout })) await job.updateProgress({ line })
  else child.stdout.resume()
  const [exitCode] = await closed
  if (exitCode !== 0) throw new Error(`${program} exited with ${exitCode}`)
  return { exitCode }
}

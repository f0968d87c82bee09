import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** What is tested is what is served: the page is built anew. */
export default async function build(): Promise<void> {
  await promisify(execFile)('node', [fileURLToPath(new URL('../../page/build.mjs', import.meta.url))])
}

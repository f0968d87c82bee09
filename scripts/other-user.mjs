// What the tests need to run as a user who is not root, where root runs them: root may signal everybody, read every
// /proc entry and pass every file mode, so that a part of what is promised cannot fail there.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './run.mjs'

/** "nobody" everywhere; it owns no files. */
const ID = 65_534

/** The files whose tests depend on the user, and the one that only such a user can run. */
export const files = ['ending', 'lifetime', 'starting', 'records', 'environment', 'unprivileged'].map(
  (name) => `__test__/package/${name}.test.ts`,
)

/**
 * A program that belongs to root, and nobody else may signal. It goes on while its first argument, a file, exists; with a
 * second one it leaves its session and closes its output before it says so.
 */
const program = `
  #define _GNU_SOURCE
  #include <stdio.h>
  #include <unistd.h>
  int main(int count, char **words) {
    if (setresuid(0, 0, 0) != 0) return 1;
    if (count < 2) return 0;
    if (count > 2) setsid();
    printf("%d\\n", getpid());
    fflush(stdout);
    if (count > 2) for (int fd = 0; fd < 3; fd++) close(fd);
    for (int i = 0; i < 6000 && access(words[1], F_OK) == 0; i++) usleep(10000);
    return 0;
  }`

/**
 * @typedef {object} OtherUser
 * @property {number} uid
 * @property {number} gid
 * @property {string} dir a directory of the user
 * @property {Record<string, string>} env
 * @property {() => void} done takes everything away
 */

/**
 * Another user, with a directory and a program of root; or why there is none.
 *
 * @returns {OtherUser | string}
 */
export function otherUser() {
  if (process.getuid?.() !== 0) return 'it takes root to become another user, and to make a program of root'
  const top = mkdtempSync(join(tmpdir(), 'execution-engine-user-'))
  chmodSync(top, 0o755)
  const done = () => rmSync(top, { recursive: true, force: true })
  const dir = join(top, 'home')
  mkdirSync(dir, { mode: 0o700 })
  chownSync(dir, ID, ID)
  const rooted = join(top, 'rooted')
  writeFileSync(`${rooted}.c`, program)
  execFileSync('cc', ['-o', rooted, `${rooted}.c`])
  chmodSync(rooted, 0o4755)
  const env = { HOME: dir, TMPDIR: dir, ROOTED_PROGRAM: rooted }
  const user = { uid: ID, gid: ID }
  const found = [
    /** @type {const} */ ([
      process.execPath,
      ['-e', `require(${JSON.stringify(root)})`],
      'the package cannot be loaded',
    ]),
    /** @type {const} */ ([rooted, [], 'a program does not run as its owner root there']),
  ].find(([program, args]) => spawnSync(program, args, { ...user, env: { ...process.env, ...env } }).status !== 0)
  if (found === undefined) return { ...user, dir, env, done }
  done()
  return `${found[2]}, by user ${ID}`
}

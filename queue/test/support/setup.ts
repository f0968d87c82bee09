// Before any test: the server's program is there, so that no test pays for its installation.

import { serverProgram } from './server-program.mjs'

export default function setup(): void {
  serverProgram()
}

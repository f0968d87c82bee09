// The playbooks that come with it, with the real AWS CLI against a server that behaves like AWS: `npm run test:aws`.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/aws/*.test.ts'],
    globalSetup: ['../../__test__/integration/setup.ts'],
    pool: 'forks',
    // A command of the AWS CLI takes seconds on a small machine, before it does anything.
    testTimeout: 120_000,
    hookTimeout: 60_000,
    server: { deps: { external: [/\/index\.js$/, /\/testing\.js$/, /\/binding\.js$/, /\/lib\/.+\.js$/] } },
  },
})

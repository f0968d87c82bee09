import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/integration/**/*.test.ts'],
    globalSetup: ['__test__/integration/setup.ts'],
    pool: 'forks',
    fileParallelism: false,
    // A command of the AWS CLI takes seconds on a small machine, before it does anything.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The package is loaded by Node itself, as its users load it, and not transformed.
    server: { deps: { external: [/\/index\.js$/, /\/binding\.js$/, /\/lib\/[^/]+\.js$/] } },
  },
})

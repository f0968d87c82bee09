import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/setup.ts'],
    // A process of its own per file: what one file leaves behind cannot reach another.
    pool: 'forks',
    // Most of the time a test waits for a lock to run out.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Both packages are loaded by Node itself, as their users load them, and not transformed.
    server: { deps: { external: [/\/index\.js$/, /\/testing\.js$/, /\/lib\/.+\.js$/, /\/queue\/dist\/.+\.js$/] } },
  },
})

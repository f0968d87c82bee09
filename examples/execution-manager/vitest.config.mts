import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/*.test.ts'],
    globalSetup: ['test/setup.ts'],
    // A process of its own per file: the addon is loaded as a program loads it.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // The engine is loaded by Node itself, as its users load it, and not transformed.
    server: { deps: { external: [/\/index\.js$/, /\/testing\.js$/, /\/binding\.js$/, /\/lib\/.+\.js$/] } },
  },
})

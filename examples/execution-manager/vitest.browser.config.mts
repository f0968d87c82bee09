// The page in a real browser: `npm run test:browser`.

import { defineConfig } from 'vitest/config'

// The addon is loaded by Node itself, as a program loads it.
const shared = { pool: 'forks', testTimeout: 30_000, hookTimeout: 180_000 } as const

export default defineConfig({
  test: {
    globalSetup: ['test/browser/build.ts'],
    projects: [
      {
        test: {
          ...shared,
          name: 'page',
          include: ['test/browser/*.test.ts'],
          exclude: ['test/browser/speed.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      // It measures how smooth the page is, and wants the machine for itself.
      {
        test: {
          ...shared,
          name: 'speed',
          include: ['test/browser/speed.test.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})

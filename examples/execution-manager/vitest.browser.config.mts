// The page in a real browser: `npm run test:browser`, after `npm run build`.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/browser/*.test.ts'],
    globalSetup: ['test/browser/build.ts'],
    // Each test looks at how smooth the page is, or waits for it: they would disturb each other.
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 180_000,
  },
})

import type { Browser, CDPSession, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { launch } from './chromium.js'
import { ended, frame, open, rows, start, startReal, type Running } from './support.js'

const SECONDS = 5
const LINES = SECONDS * 10_000

let browser: Browser
let service: Running

beforeAll(async () => {
  ;[browser, service] = await Promise.all([launch(), startReal()])
})
afterAll(async () => {
  await browser.close()
  await service.close()
})

interface Smoothness {
  /** Milliseconds between frames, ascending. */
  readonly frames: readonly number[]
  /** Milliseconds of each task of the page that took more than 50. */
  readonly longTasks: readonly number[]
}

/** Notes each frame and each long task from now on; what it returns stops that. */
async function watchSmoothness(page: Page): Promise<() => Promise<Smoothness>> {
  const noting = await page.evaluateHandle(() => {
    const frames: number[] = []
    const longTasks: number[] = []
    let last = performance.now()
    let going = true
    const next = (now: number): void => {
      frames.push(now - last)
      last = now
      if (going) requestAnimationFrame(next)
    }
    requestAnimationFrame(next)
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longTasks.push(duration)
    })
    observer.observe({ type: 'longtask' })
    return () => {
      going = false
      observer.disconnect()
      return { frames: frames.sort((a, b) => a - b), longTasks }
    }
  })
  return () => noting.evaluate((stop) => stop())
}

async function memoryMiB(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  return (metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? Number.NaN) / 1_048_576
}

const part = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(sorted.length * share)] ?? Number.NaN

describe('the page at 10 000 lines a second', () => {
  it('stays smooth, and small, and has all lines', async () => {
    const opened = await open(browser, service.url)
    const { page } = opened
    const session = await page.context().newCDPSession(page)
    await session.send('Performance.enable')
    await start(page, 'Torrent', { seconds: String(SECONDS) })
    await page.locator('.row').first().waitFor()
    const stop = await watchSmoothness(page)
    const nodes: number[] = []
    while ((await page.locator('.run-title .badge').textContent()) !== 'Completed') {
      nodes.push(await page.evaluate(() => document.querySelectorAll('*').length))
      await page.waitForTimeout(200)
    }
    const { frames, longTasks } = await stop()
    await ended(page, 'Completed')
    await page.locator('.connection', { hasText: 'All received' }).waitFor()
    await expect.poll(() => page.locator('.figures').textContent()).toContain(LINES.toLocaleString('en-GB'))
    const memory = await memoryMiB(session)
    console.log(
      `frames ${String(frames.length)}, ms: half ${part(frames, 0.5).toFixed(0)}, 95 % ${part(frames, 0.95).toFixed(0)}, ` +
        `99 % ${part(frames, 0.99).toFixed(0)}; long tasks ${String(longTasks.length)}, longest ${Math.max(0, ...longTasks).toFixed(0)} ms; ` +
        `elements ${String(Math.max(...nodes))}; ${memory.toFixed(1)} MiB`,
    )
    expect(part(frames, 0.5)).toBeLessThan(40)
    expect(part(frames, 0.95)).toBeLessThan(100)
    expect(Math.max(0, ...longTasks)).toBeLessThan(300)
    expect(Math.max(...nodes)).toBeLessThan(1_500)
    expect(memory).toBeLessThan(40)

    // The newest are at the end; the oldest are held no more, and come from the log.
    expect((await rows(page)).at(-1)).toEqual([LINES, expect.stringContaining(`line ${String(LINES)} of`)])
    const asked = page.waitForRequest(/\/log\?line=0&/)
    await page.locator('.log').focus()
    await page.keyboard.press('Home')
    await asked
    await expect.poll(async () => (await rows(page))[0]).toEqual([1, expect.stringContaining('line 1 of')])
    await page.keyboard.press('PageDown')
    await frame(page)
    for (const [number, text] of await rows(page)) expect(text).toContain(`line ${String(number)} of`)

    // A search finds what is only in the log as well.
    await page.keyboard.press('/')
    await page.keyboard.type('line 4321 of')
    await page.keyboard.press('Enter')
    await page.locator('.row.current', { hasText: 'line 4321 of' }).waitFor()
    await expect.poll(() => page.locator('.matches').textContent()).toBe('1 of 1')

    // After a reload, the service tells the newest; what is before them can be had all the same.
    await page.reload()
    await expect.poll(() => page.locator('.figures').textContent()).toContain(LINES.toLocaleString('en-GB'))
    await page.locator('.log').focus()
    await page.keyboard.press('Home')
    await expect.poll(async () => (await rows(page))[0]).toEqual([1, expect.stringContaining('line 1 of')])
    await opened.close()
    opened.expectNoFaults()
  })
})

import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

import type { AxeResults } from 'axe-core'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterEach, beforeAll, afterAll, describe, expect, it } from 'vitest'

import type { Step } from '../../src/api.js'
import { launch } from './chromium.js'
import { NOW, scene, SCENE_RUN } from './scene.js'
import { linesOf, startStage, step, type Stage } from './stage.js'
import { frame, open, rows, type Opened } from './support.js'

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const ASSETS = fileURLToPath(new URL('../../../../docs/assets/', import.meta.url))

let browser: Browser
let stage: Stage
let opened: Opened

beforeAll(async () => {
  browser = await launch()
})
afterAll(async () => {
  await browser.close()
})
afterEach(async () => {
  await opened.close()
  await stage.close()
  opened.expectNoFaults()
})

const retryIn = (ms: number): Partial<Step> => ({
  attempts: [{ exitCode: 1, signal: null, startedAt: null, durationMs: 0, error: 'exited with code 1' }],
  retrying: { attempt: 2, at: new Date(NOW + ms).toISOString() },
})

/** The page with a run that goes on, at a time that stands still. */
async function show(
  options: BrowserContextOptions = {},
  hash = `#/runs/${SCENE_RUN}`,
  script = scene(),
): Promise<Page> {
  stage = await startStage(script)
  opened = await open(browser, `${stage.url}/${hash}`, { reducedMotion: 'reduce', ...options }, NOW)
  const { page } = opened
  await page.evaluate(() => document.fonts.ready)
  return page
}

async function settled(page: Page): Promise<void> {
  await expect.poll(() => page.locator('.figures').textContent()).toBe('31 lines')
  await page.locator('.run-list li').nth(7).waitFor()
  await frame(page)
}

declare const axe: { run(): Promise<AxeResults> }

/** What is not accessible, by the rules of axe. */
async function barriers(page: Page): Promise<string[]> {
  await page.addScriptTag({ path: AXE })
  const { violations } = await page.evaluate(() => axe.run())
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary ?? ''}`),
  )
}

const brightness = (page: Page): Promise<number> =>
  page.evaluate(() => Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)?.[0]))

describe('the page', () => {
  it.each([
    ['light', 255],
    ['dark', 0],
  ] as const)('is %s where the system is, and has no barriers', async (colorScheme, ground) => {
    // axe is a script of the test: the page itself runs under the policy of the service in all other tests.
    const page = await show({ colorScheme, bypassCSP: true })
    await settled(page)
    expect(Math.abs((await brightness(page)) - ground)).toBeLessThan(30)
    expect(await barriers(page)).toEqual([])

    await page.getByRole('tab', { name: 'Timeline' }).click()
    await page.getByRole('button', { name: /^push-image Completed/ }).click()
    await page.getByLabel('Search output').fill('pushed')
    await page.keyboard.press('Enter')
    await page.locator('.row.current').waitFor()
    expect(await barriers(page)).toEqual([])

    await page.goto(`${stage.url}/#/`)
    await page.getByRole('button', { name: 'Start deploy-orders' }).click()
    await page.getByRole('dialog').waitFor()
    expect(await barriers(page)).toEqual([])
  })

  it('has a switch for its colours, and remembers it', async () => {
    const page = await show({ colorScheme: 'light' })
    await settled(page)
    await page.keyboard.press('m')
    expect(await brightness(page)).toBeGreaterThan(200)
    await page.getByRole('button', { name: 'Colours: light' }).click()
    await expect.poll(() => brightness(page)).toBeLessThan(50)
    await page.reload()
    await expect.poll(() => brightness(page)).toBeLessThan(50)
  })

  it('marks states by text, and the critical path', async () => {
    const page = await show()
    await settled(page)
    await page.getByRole('button', { name: /^push-image 2 tries Completed 13.6 s on the critical path$/ }).waitFor()
    await page.getByRole('button', { name: /^unit-tests Completed 14.2 s$/ }).waitFor()
    await page.getByRole('button', { name: /^deploy-us Running on the critical path$/ }).waitFor()
    expect(await page.locator('.arrow.critical').count()).toBe(3)
    expect(await page.locator('.node', { hasText: 'deploy-us' }).textContent()).toContain('35.3 s')
    await page.clock.setFixedTime(NOW + 10_000)
    await expect.poll(() => page.locator('.node', { hasText: 'deploy-us' }).textContent()).toContain('45.3 s')
  })

  it('writes each state in full in the graph, beside the longest time', async () => {
    const states = ['running', 'completed', 'failed', 'cancelled', 'timeout', 'skipped'] as const
    const longest = { startedAt: new Date(NOW - 3_599_000).toISOString(), durationMs: 3_599_000 }
    const steps = [
      ...states.map((status) => step(status, [], { ...longest, status })),
      step('interrupted', [], { ...longest, durationMs: null, status: 'interrupted' }),
      step('later', [], { ...longest, durationMs: null, status: 'running', ...retryIn(29_900) }),
      step('due', [], { ...longest, durationMs: null, status: 'running', ...retryIn(-1) }),
      step('queued', [], { status: 'pending' }),
    ]
    const script = scene()
    const run = { ...script.run, steps }
    const page = await show({}, undefined, { ...script, run, events: [{ event: 'run', data: run }] })
    await page.locator('.node', { hasText: 'Retry in 29.9 s' }).waitFor()
    await page.locator('.node', { hasText: 'Retry queued' }).waitFor()
    const cut = await page
      .locator('.node .name, .node .state')
      .evaluateAll((texts) => texts.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent))
    expect(cut).toEqual([])
  })

  it('tells who comes during the delay of a retry until when it is, and when each attempt ran', async () => {
    const started = (msAgo: number): string => new Date(NOW - msAgo).toISOString()
    const tried = { exitCode: 3, signal: null, durationMs: 10_000, error: 'exited with code 3' }
    const waiting = step('fetch', [], {
      status: 'running',
      startedAt: started(60_000),
      attempts: [{ ...tried, startedAt: started(60_000) }],
      retrying: { attempt: 2, at: new Date(NOW + 12_300).toISOString() },
    })
    const script = scene()
    const run = { ...script.run, startedAt: started(100_000), steps: [waiting] }
    const page = await show({}, `#/runs/${SCENE_RUN}/fetch`, { ...script, run, events: [{ event: 'run', data: run }] })
    await page.getByRole('button', { name: /^fetch 2 tries Retry in 12.3 s/ }).waitFor()
    await page.getByText('Attempt 2 follows in 12.3 s: exited with code 3').waitFor()
    await page.getByRole('tab', { name: 'Timeline' }).click()
    /** What each bar shows, and from where to where, in percent of the time so far. */
    const bars = (): Promise<string[]> =>
      page
        .locator('.lane .bar')
        .evaluateAll((all) =>
          all.flatMap((bar) =>
            bar instanceof HTMLElement ? `${bar.className} ${bar.style.left} ${bar.style.width}` : [],
          ),
        )
    await expect.poll(bars).toEqual(['bar is-failed 40% 10%', 'bar queued 50% 50%'])

    const again = { ...waiting, attemptStartedAt: started(20_000), retrying: null }
    stage.tell({ event: 'step', data: again })
    await expect.poll(bars).toEqual(['bar is-failed 40% 10%', 'bar is-running 80% 20%', 'bar queued 50% 30%'])
    expect(await page.getByText('Attempt 2 follows').count()).toBe(0)
  })

  it('reckons with the clock of the service, not with its own', async () => {
    stage = await startStage(scene(), new Date(NOW))
    opened = await open(browser, `${stage.url}/#/runs/${SCENE_RUN}`, {}, NOW - 3_600_000)
    const { page } = opened
    await expect.poll(() => page.locator('.node', { hasText: 'deploy-us' }).textContent()).toMatch(/3[45]\.\d s/)
  })

  it('filters and searches the runs', async () => {
    const page = await show()
    await settled(page)
    await page.getByLabel('Status', { exact: true }).selectOption('failed')
    await expect.poll(() => page.locator('.run-list li').count()).toBe(1)
    await page.getByRole('button', { name: 'Clear the filter' }).click()
    await page.keyboard.press('r')
    await page.keyboard.type('audit')
    await expect
      .poll(() => page.locator('.run-list .name').allTextContents())
      .toEqual(['audit-regions', 'audit-regions'])
  })

  it('shows colours of a terminal, and nothing of the output as HTML', async () => {
    const page = await show()
    await settled(page)
    const odd = [
      '\u001b[1;31mred\u001b[0m <img src=x onerror=alert(1)>',
      '\u001b[38;5;208morange\u001b[0m',
      '10 %\r55 %\r100 %',
      '\u001b]0;title\u0007\u001b[2Kkept',
    ]
    for (const event of linesOf('deploy-us', odd, 5)) stage.tell(event)
    await page.locator('.row', { hasText: 'kept' }).waitFor()
    const texts = (await rows(page)).slice(-4).map(([, text]) => text)
    expect(texts).toEqual(['red <img src=x onerror=alert(1)>', 'orange', '100 %', 'kept'])
    expect(await page.locator('.log img').count()).toBe(0)
    expect(await page.locator('.ansi-red-fg.bold').textContent()).toBe('red')
    expect(await page.getByText('orange').evaluate((span) => getComputedStyle(span).color)).toBe('rgb(255, 135, 0)')
  })

  it('follows, stays where it is while somebody reads, and holds back while it is paused', async () => {
    const page = await show()
    await settled(page)
    const many = Array.from({ length: 100 }, (_, i) => `more ${String(i)}`)
    for (const event of linesOf('deploy-us', many, 5)) stage.tell(event)
    await page.locator('.row', { hasText: /^deploy-usmore 99$/ }).waitFor()

    await page.locator('.log').focus()
    await page.keyboard.press('PageUp')
    await frame(page)
    const before = await rows(page)
    for (const event of linesOf('deploy-us', ['later'], 105)) stage.tell(event)
    await page.getByRole('button', { name: /lines? below/ }).waitFor()
    expect(await rows(page)).toEqual(before)
    await page.keyboard.press('End')
    await page.locator('.row', { hasText: 'later' }).waitFor()

    await page.keyboard.press('p')
    await frame(page)
    for (const event of linesOf('deploy-us', ['held back'], 106)) stage.tell(event)
    await page.getByRole('button', { name: 'Paused: 1 line below' }).click()
    await page.locator('.row', { hasText: 'held back' }).waitFor()
  })

  it('wraps long lines, and finds what is in them', async () => {
    const page = await show()
    await settled(page)
    const long = `begin ${'x'.repeat(3_000)} needle`
    for (const event of linesOf('deploy-us', [...Array.from({ length: 60 }, () => long), 'last'], 5)) stage.tell(event)
    await page.locator('.row', { hasText: 'last' }).waitFor()
    const log = page.locator('.log')
    const overflow = (): Promise<boolean> => log.evaluate((one) => one.scrollWidth > one.clientWidth)
    await expect.poll(overflow).toBe(true)
    await page.keyboard.press('w')
    await expect.poll(overflow).toBe(false)
    await page.keyboard.press('/')
    await page.keyboard.type('needle')
    await expect.poll(() => page.locator('.matches').textContent()).toBe('60')
    await page.keyboard.press('Enter')
    const current = page.locator('.row.current mark')
    await current.waitFor()
    await expect.poll(() => page.locator('.matches').textContent()).toMatch(/^\d+ of 60$/)
    expect(await current.textContent()).toBe('needle')
    // What is drawn is as high as was reckoned: the last line is at the bottom of what is seen.
    await log.focus()
    await page.keyboard.press('End')
    const last = page.locator('.row', { hasText: 'last' })
    await last.waitFor()
    const bottoms = await Promise.all(
      [last, log].map((one) => one.evaluate((element) => element.getBoundingClientRect().bottom)),
    )
    expect(Math.abs((bottoms[0] ?? 0) - (bottoms[1] ?? 0))).toBeLessThan(20)
  })

  it('goes anywhere in a log of two million lines', async () => {
    const length = 2_000_000
    const slice = (from: number, to: number): string[] =>
      Array.from({ length: Math.max(0, Math.min(to, length) - from) }, (_, i) => `entry ${String(from + i + 1)}`)
    const script = { ...scene(), logs: { 'deploy-us': { length, slice } } }
    const page = await show({}, `#/runs/${SCENE_RUN}/deploy-us`, script)
    await page.locator('.row').first().waitFor()
    stage.tell({ event: 'gap', data: { step: 'deploy-us', from: 5, to: length - 3 } })
    for (const event of linesOf('deploy-us', slice(length - 3, length), length - 3)) stage.tell(event)
    const last = page.locator('.row').last()
    await expect.poll(() => last.textContent()).toBe('entry 2000000')

    // The bar leads to the middle; from there a wheel moves by lines, however little room the bar has for one.
    const log = page.locator('.log')
    await log.evaluate((one) => {
      one.scrollTop = (one.scrollHeight - one.clientHeight) / 2
    })
    const first = async (): Promise<number> => (await rows(page))[0]?.[0] ?? Number.NaN
    await expect.poll(async () => Math.abs((await first()) - length / 2)).toBeLessThan(100)
    const middle = await first()
    expect((await rows(page))[0]?.[1]).toBe(`entry ${String(middle)}`)
    await log.hover()
    await page.mouse.wheel(0, 190)
    await expect.poll(first).toBe(middle + 10)
    await page.mouse.wheel(0, -380)
    await expect.poll(first).toBe(middle - 10)

    await log.focus()
    await page.keyboard.press('Home')
    await expect.poll(first).toBe(1)
    await page.keyboard.press('End')
    await expect.poll(() => last.textContent()).toBe('entry 2000000')
    for (const [number, text] of await rows(page)) expect(text).toBe(`entry ${String(number)}`)
  })

  it('copies and downloads what was printed', async () => {
    const page = await show({}, `#/runs/${SCENE_RUN}/push-image`)
    await page.locator('.row').nth(1).waitFor()
    await page.keyboard.press('y')
    await page.getByText('Copied 2 lines').waitFor()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      'throttled: the registry answered 429\norders:4be19c2 pushed in 6.1 s',
    )
    const [saved] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('d')])
    expect(saved.suggestedFilename()).toBe('deploy-orders-6f1c2a90-push-image.log')
    const chunks: Uint8Array[] = []
    for await (const chunk of await saved.createReadStream()) chunks.push(Buffer.from(String(chunk)))
    expect(Buffer.concat(chunks).toString()).toBe(
      'throttled: the registry answered 429\norders:4be19c2 \u001b[32mpushed\u001b[0m \u001b[2min 6.1 s\u001b[0m\n',
    )
  })

  it('says when the service is not there, and comes back by itself', async () => {
    const page = await show()
    await settled(page)
    stage.break(true)
    stage.drop()
    await page.locator('.connection', { hasText: 'Reconnecting' }).waitFor()
    await page.getByText('The service is being restarted. It is tried again.').waitFor()
    for (const event of linesOf('deploy-us', ['meanwhile'], 5)) stage.tell(event)
    // Before it is there again, as it may come back by itself at any time after.
    await page.getByRole('button', { name: 'now' }).click()
    stage.break(false)
    await page.locator('.connection', { hasText: 'Live' }).waitFor()
    await page.locator('.row', { hasText: 'meanwhile' }).waitFor()
    await page.locator('.app > .banner').waitFor({ state: 'detached' })
    await expect.poll(() => page.locator('.figures').textContent()).toContain('32 lines')
  })

  it('fits a narrow screen', async () => {
    const page = await show({ viewport: { width: 390, height: 844 }, hasTouch: true, bypassCSP: true })
    await page.locator('.row').first().waitFor()
    const sideways = (): Promise<number> => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    expect(await sideways()).toBe(0)
    expect(await page.getByRole('navigation', { name: 'Runs' }).isVisible()).toBe(false)
    expect(await barriers(page)).toEqual([])
    await page.getByRole('link', { name: 'Back to the runs' }).click()
    await page.getByRole('navigation', { name: 'Runs' }).waitFor()
    expect(await sideways()).toBe(0)
  })

  /** What is not seen as a whole, though there is room for it. */
  const cutIn = (page: Page): Promise<string[]> =>
    page.evaluate(() => {
      const texts = [...document.querySelectorAll('.node .name, .node .state, .run-list span, .run-title *')]
      const [log, details, first] = ['.log', '.details', '.row'].map((one) => document.querySelector(one))
      if (!log || !details || !first) return ['what was looked for is not there']
      const above = log.getBoundingClientRect().top - first.getBoundingClientRect().top
      return [
        ...texts
          .filter((one) => one.scrollWidth > one.clientWidth && getComputedStyle(one).display !== 'inline')
          .map((one) => `${one.className}: ${one.textContent}`),
        ...(above > 0 && above < 19 ? [`the first row: ${String(above)}`] : []),
        ...(details.scrollHeight > details.clientHeight
          ? [`the details: ${String(details.scrollHeight - details.clientHeight)}`]
          : []),
      ]
    })

  it('looks as in the documents', async () => {
    const page = await show({ colorScheme: 'light', deviceScaleFactor: 1.5, viewport: { width: 1_600, height: 1_079 } })
    await settled(page)
    expect(await cutIn(page)).toEqual([])
    const whole = await page.screenshot()
    expect(whole.length).toBeGreaterThan(20_000)
    const plan = page.locator('.pane')
    expect((await plan.screenshot()).length).toBeGreaterThan(5_000)
    // Pictures differ between machines by a pixel here and there: they are written only when that is asked for.
    if (process.env['PICTURES'] === undefined) return
    await mkdir(ASSETS, { recursive: true })
    await page.screenshot({ path: `${ASSETS}manager.png` })
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
    await page.setViewportSize({ width: 1_700, height: 760 })
    await page.getByRole('tab', { name: 'Plan' }).blur()
    await frame(page)
    await plan.screenshot({ path: `${ASSETS}plan.png` })
  })
})

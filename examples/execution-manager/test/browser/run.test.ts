import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { launch } from './chromium.js'
import { startProxy } from './proxy.js'
import {
  ended,
  open,
  outputOf,
  printed,
  readAll,
  rows,
  start,
  startReal,
  type Opened,
  type Running,
} from './support.js'

let browser: Browser
let service: Running
let opened: Opened | undefined

beforeAll(async () => {
  ;[browser, service] = await Promise.all([launch(), startReal()])
})
afterAll(async () => {
  await browser.close()
  await service.close()
})
afterEach(async () => {
  await opened?.close()
  opened?.expectNoFaults()
})

const ticks = (count: number): [number, string][] =>
  Array.from({ length: count }, (_, i) => [i + 1, `tick ${String(i + 1)}`])

describe('the page', () => {
  it('starts a playbook with parameters, and shows its lines as they arrive', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    await start(page, 'Ticks', { count: '30' })
    await outputOf(page, 'count')
    await printed(page, 3)
    expect(await page.locator('.run-title .badge').textContent()).toBe('Running')
    expect(await page.locator('.connection').textContent()).toBe('Live')

    await ended(page, 'Completed')
    expect([...(await readAll(page))]).toEqual(ticks(30))
    await page.getByRole('button', { name: /^count Completed/ }).waitFor()
    expect(await page.locator('.connection').textContent()).toBe('All received')
    await page.getByRole('link', { name: /^ticks .*Completed/ }).waitFor()
  })

  it('shows what of a parameter is wrong at its field', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    await page.getByRole('button', { name: 'Start Ticks' }).click()
    await page.getByLabel('count').fill('1e9999')
    await page.getByLabel('count').fill('')
    await page.getByLabel('names').fill('')
    await page.getByLabel('mode').evaluate((select) => {
      if (select instanceof HTMLSelectElement) select.options[1]?.setAttribute('value', 'loud')
    })
    await page.getByLabel('mode').selectOption({ index: 1 })
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    const problem = page.getByRole('dialog').getByRole('alert')
    await problem.waitFor()
    expect(await problem.textContent()).toContain('mode')
    expect(await page.getByLabel('mode').getAttribute('aria-invalid')).toBe('true')
  })

  it('never holds a secret', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    await start(page, 'Ticks', { count: '1', password: 'correct-horse-battery' })
    await ended(page, 'Completed')
    expect(await page.content()).not.toContain('correct-horse')
    expect(await page.locator('.details').textContent()).toContain('***')
    const kept = await page.evaluate(
      () => JSON.stringify([localStorage, sessionStorage]) + document.cookie + location.href,
    )
    expect(kept).not.toContain('correct-horse')
    await page.getByRole('button', { name: 'Run again' }).click()
    expect(await page.getByLabel('password').inputValue()).toBe('')
  })

  it('cancels a run after it has asked', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    await start(page, 'Ticks', { count: '100000' })
    await outputOf(page, 'count')
    await printed(page, 2)
    await page.getByRole('button', { name: 'Cancel', exact: true }).click()
    await page.getByRole('button', { name: 'Keep it running' }).click()
    expect(await page.locator('.run-title .badge').textContent()).toBe('Running')

    await page.getByRole('button', { name: 'Cancel', exact: true }).click()
    await page.getByLabel('Reason').fill('enough seen')
    await page.getByRole('button', { name: 'Cancel the run' }).click()
    await ended(page, 'Cancelled')
    expect(await page.getByRole('button', { name: 'Cancel', exact: true }).count()).toBe(0)
    await page.getByRole('button', { name: /^count Cancelled/ }).waitFor()
    expect(await page.locator('.run').textContent()).toContain('enough seen')
  })

  it('shows what is tried again, what failed, and what was skipped for it', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    const folder = await mkdtemp(join(tmpdir(), 'manager-flaky-'))
    const mark = join(folder, 'mark')
    await start(page, 'Flaky', { mark })
    await page.getByRole('button', { name: /^try Running/ }).waitFor()
    await writeFile(mark, '')
    await page.locator('.node', { hasText: 'Retry in' }).waitFor()
    await page.getByRole('button', { name: /^try 2 tries Completed/ }).waitFor()
    await ended(page, 'Failed')
    await page.getByRole('button', { name: /^never Skipped/ }).waitFor()
    await page.getByRole('button', { name: /^mend Completed/ }).waitFor()
    expect(await page.locator('.run > .banner').textContent()).toContain('fail')

    await page.getByRole('button', { name: /^try 2 tries/ }).click()
    const attempts = page.getByRole('complementary', { name: 'Step try' }).getByRole('listitem')
    await expect.poll(() => attempts.count()).toBe(2)
    expect(await attempts.first().textContent()).toContain('3')
    await page.getByRole('button', { name: /^fail Failed/ }).click()
    await page.getByRole('complementary', { name: 'Step fail' }).getByText('Exit code').waitFor()
    expect(await page.getByRole('complementary', { name: 'Step fail' }).textContent()).toContain('Exit code7')
    await page.getByRole('tab', { name: 'Timeline' }).click()
    expect(await page.locator('.lane').first().locator('.bar:not(.queued)').count()).toBe(2)
    await rm(folder, { recursive: true })
  })

  it('is reloaded in the middle, and misses nothing', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    await start(page, 'Ticks', { count: '60' })
    await outputOf(page, 'count')
    await printed(page, 20)
    await page.reload()
    await page.locator('.row').first().waitFor()
    expect(await page.locator('.run-title .badge').textContent()).toBe('Running')
    await ended(page, 'Completed')
    expect([...(await readAll(page))]).toEqual(ticks(60))
  })

  it('says that the connection was lost, and goes on without a gap or a double', async () => {
    const proxy = await startProxy(service.url)
    opened = await open(browser, proxy.url)
    const { page } = opened
    await start(page, 'Ticks', { count: '120', pause: '0.01' })
    await outputOf(page, 'count')
    await printed(page, 20)
    proxy.cut()
    await page.locator('.connection', { hasText: 'Reconnecting' }).waitFor()
    const [last] = (await rows(page)).at(-1) ?? [0]
    proxy.mend()
    await page.locator('.connection', { hasText: /Live|All received/ }).waitFor()
    await ended(page, 'Completed')
    const all = await readAll(page)
    expect(last).toBeLessThan(all.size)
    expect([...all]).toEqual(ticks(120))
    await outputOf(page, '')
    expect(await page.locator('.figures').textContent()).toContain('122 lines')
    await proxy.close()
  })

  it('can be used with the keyboard alone', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    const { keyboard } = page
    const focused = (): Promise<string> =>
      page.evaluate(
        () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '',
      )
    await page.getByRole('button', { name: 'Start Ticks' }).waitFor()

    await keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
    await keyboard.press('Escape')
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0)

    await keyboard.press('n')
    const dialog = page.getByRole('dialog', { name: 'Start a run' })
    await dialog.waitFor()
    await keyboard.type('Ti')
    await keyboard.press('Tab')
    await keyboard.press('Control+A')
    await keyboard.type('100000')
    await keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'ticks' }).waitFor()

    await keyboard.press(']')
    await keyboard.press(']')
    await page.getByRole('region', { name: 'Output of count' }).waitFor()
    await printed(page, 40)
    await keyboard.press('o')
    await keyboard.press('Home')
    await keyboard.press('/')
    await keyboard.type('tick 1')
    await keyboard.press('Enter')
    await page.locator('.row.current', { hasText: /^tick 1$/ }).waitFor()
    await keyboard.press('Enter')
    await page.locator('.row.current', { hasText: /^tick 10$/ }).waitFor()
    await keyboard.press('Shift+Enter')
    await page.locator('.row.current', { hasText: /^tick 1$/ }).waitFor()
    expect(await page.locator('.matches').textContent()).toMatch(/^1 of /)
    await keyboard.press('Escape')
    expect(await focused()).toBe('Output of count')

    await keyboard.press('f')
    await keyboard.press('p')
    await page.getByRole('button', { name: /^Paused: / }).waitFor()
    await keyboard.press('p')
    await keyboard.press('t')
    await page.locator('.lane').first().waitFor()
    await keyboard.press('g')
    await page.locator('.node').first().focus()
    await keyboard.press('ArrowRight')
    expect(await focused()).toMatch(/^count/)
    const outline = await page.evaluate(
      () => document.activeElement && getComputedStyle(document.activeElement).outlineStyle,
    )
    expect(outline).toBe('solid')

    await keyboard.press('c')
    await page.getByRole('dialog', { name: 'Cancel ticks?' }).waitFor()
    await keyboard.type('by keyboard')
    await keyboard.press('Enter')
    await ended(page, 'Cancelled')
  })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { expect } from 'vitest'

import { startService, type Service } from '../../src/service.js'

const PLAYBOOKS = fileURLToPath(new URL('playbooks', import.meta.url))

export interface Running extends Pick<Service, 'url'> {
  close(): Promise<void>
}

/** The service with the playbooks of these tests, and a history of its own. */
export async function startReal(token?: string): Promise<Running> {
  const data = await mkdtemp(join(tmpdir(), 'manager-browser-'))
  const service = await startService({ playbooks: PLAYBOOKS, data, token })
  return {
    url: service.url,
    async close() {
      await service.close()
      await rm(data, { recursive: true, force: true })
    },
  }
}

export interface Opened {
  readonly page: Page
  /** Fails if something went wrong in the page, or if it asked another host for anything. */
  expectNoFaults(): void
  close(): Promise<void>
}

/** A page in a browser profile of its own. The time of one that is given `now` stands still. */
export async function open(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  now?: number,
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, timezoneId: 'UTC', ...options })
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(url).origin })
  const page = await context.newPage()
  // Sooner than the test itself, so that what did not come is named.
  page.setDefaultTimeout(8_000)
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    // That the service cannot be reached is what some tests are about.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) faults.push(message.text())
  })
  page.on('request', (request) => {
    const { origin } = new URL(request.url())
    if (origin !== new URL(url).origin && !request.url().startsWith('blob:')) faults.push(`asked ${request.url()}`)
  })
  if (now !== undefined) await page.clock.setFixedTime(now)
  await page.goto(url)
  return {
    page,
    expectNoFaults() {
      expect(faults).toEqual([])
    },
    close: () => context.close(),
  }
}

/** Starts a playbook as a user does. */
export async function start(page: Page, title: string, fields: Readonly<Record<string, string>> = {}): Promise<void> {
  await page.getByRole('button', { name: `Start ${title}` }).click()
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label).fill(value)
  await page.getByRole('button', { name: 'Start', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: title.toLowerCase() }).waitFor()
}

/** Waits until the run has got that status. */
export async function ended(page: Page, status: string): Promise<void> {
  await page.locator('.run-title .badge', { hasText: status }).waitFor({ timeout: 20_000 })
}

/** Waits until so many lines have been printed. */
export async function printed(page: Page, atLeast: number): Promise<void> {
  const lines = async (): Promise<number> =>
    Number((await page.locator('.figures').textContent())?.replace(/ line.*|,/g, ''))
  await expect.poll(lines, { timeout: 15_000 }).toBeGreaterThanOrEqual(atLeast)
}

/** The rows that are drawn: number and text. */
export async function rows(page: Page): Promise<(readonly [number, string])[]> {
  return page
    .locator('.row:not(.loading)')
    .evaluateAll((elements) =>
      elements.map(
        (row) => [Number(row.getAttribute('data-n')), row.querySelector('.text')?.textContent ?? ''] as const,
      ),
    )
}

/** All lines of the output, as somebody sees them who pages through it. */
export async function readAll(page: Page): Promise<Map<number, string>> {
  const log = page.locator('.log')
  await log.focus()
  await page.keyboard.press('Home')
  await frame(page)
  const seen = new Map<number, string>()
  for (let before = -1; seen.size !== before;) {
    before = seen.size
    await expect.poll(() => page.locator('.row.loading').count()).toBe(0)
    for (const [number, text] of await rows(page)) seen.set(number, text)
    await page.keyboard.press('PageDown')
    await frame(page)
  }
  return seen
}

/** Waits until the page was drawn again. */
export async function frame(page: Page): Promise<void> {
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
}

/** The steps' output of one step. */
export async function outputOf(page: Page, step: string): Promise<void> {
  await page.getByLabel('Output of', { exact: true }).selectOption(step)
  await frame(page)
}

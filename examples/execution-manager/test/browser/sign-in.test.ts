import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { launch } from './chromium.js'
import { ended, open, start, startReal, type Opened, type Running } from './support.js'

const TOKEN = 'correct horse+&battery'

let browser: Browser
let service: Running
let opened: Opened

beforeAll(async () => {
  ;[browser, service] = await Promise.all([launch(), startReal(TOKEN)])
})
afterAll(async () => {
  await browser.close()
  await service.close()
})
afterEach(async () => {
  await opened.close()
  opened.expectNoFaults()
})

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('The token of this service').fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

describe('a service with a token', () => {
  it('is asked for by the page, which then works, and remembers it', async () => {
    opened = await open(browser, service.url)
    const { page } = opened
    await signIn(page, 'wrong horse')
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('alert').textContent()).toBe('that is not the token')
    expect(await page.getByRole('button', { name: /Start/ }).count()).toBe(0)

    await signIn(page, TOKEN)
    await start(page, 'Ticks', { count: '3' })
    await ended(page, 'Completed')
    await page.locator('.row', { hasText: 'tick 3' }).waitFor()

    await page.reload()
    await ended(page, 'Completed')
    // A script of the page cannot read it.
    expect(await page.evaluate(() => document.cookie)).toBe('')

    // The address of the run leads there as well, once somebody else has signed in.
    const address = page.url()
    await opened.close()
    opened = await open(browser, address)
    await signIn(opened.page, TOKEN)
    await ended(opened.page, 'Completed')
    expect(opened.page.url()).toBe(address)
  })

  it('takes it from a link, which leaves it in no address', async () => {
    opened = await open(browser, `${service.url}/login?token=${encodeURIComponent(TOKEN)}`)
    await opened.page.getByRole('button', { name: 'Start Ticks' }).waitFor()
    expect(opened.page.url()).toBe(`${service.url}/`)
    await opened.close()

    opened = await open(browser, `${service.url}/login?token=wrong`)
    await opened.page.getByLabel('The token of this service').waitFor()
  })
})

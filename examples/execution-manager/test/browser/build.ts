/** What is tested is what is served: the page is built anew. */
export default async function build(): Promise<void> {
  await import('../../page/build.mjs')
}

/** One run. */
export const RunPage = () => null;

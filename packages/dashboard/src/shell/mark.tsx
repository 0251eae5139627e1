/** Rotor's mark. */
export const Mark = () => (
  <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
    <path d="M16 3a13 13 0 0 1 11.26 6.5l-4.76 2.75A7.5 7.5 0 0 0 16 8.5z" fill="currentColor" />
    <path d="M27.26 22.5A13 13 0 0 1 16 29v-5.5a7.5 7.5 0 0 0 6.5-3.75z" fill="currentColor" opacity=".5" />
    <path d="M4.74 22.5a13 13 0 0 1 0-13l4.76 2.75a7.5 7.5 0 0 0 0 7.5z" fill="currentColor" opacity=".75" />
    <circle cx="16" cy="16" r="3" fill="currentColor" />
  </svg>
);

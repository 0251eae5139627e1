export const DeadLetters = () => null;

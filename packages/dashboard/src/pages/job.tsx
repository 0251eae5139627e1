export const JobPage = () => null;

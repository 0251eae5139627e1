/** Class names of a CSS module, by the names that its file gives them. */
declare module "*.module.css" {
  const classes: Readonly<Record<string, string>>;
  export default classes;
}

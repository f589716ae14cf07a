/** Whether two objects of one form hold the same values: not looked into any deeper. */
export function isAlike<Form extends object>(a: Form, b: Form): boolean {
  return (Object.keys(a) as (keyof Form)[]).every((key) => Object.is(a[key], b[key]));
}

/**
 * Whether any character is visible, as the server decides it: spaces, controls, zero-width characters and
 * fillers are not.
 *
 * @param {string} text
 */
export function hasVisibleText(text) {
  return /[^\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/u.test(text);
}

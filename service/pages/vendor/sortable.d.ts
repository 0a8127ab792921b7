/** Of SortableJS, what the studio uses: for the checker alone, never served. */
declare const Sortable: { create(list: HTMLElement, options: Record<string, unknown>): unknown };
export default Sortable;

// The view library: preact's components and htm's templates, bound to each other once.
import {Component, Fragment, createRef, h, render} from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export {Component, Fragment, createRef, render};

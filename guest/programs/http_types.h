/*
 * http_types: what a file name says about its content, and what a status means.
 */
#ifndef FERRULE_GUEST_PROGRAMS_HTTP_TYPES_H
#define FERRULE_GUEST_PROGRAMS_HTTP_TYPES_H

/* The content type by the last extension; without one "application/octet-stream". */
const char *http_content_type(const char *path);

/* "Not Found"; "Error" for a status that the table lacks. */
const char *http_reason(int status);

/* A sentence for the page that goes with an error status. */
const char *http_explanation(int status);

#endif

/*
 * web_directory: the page that shows what a directory holds.
 */
#ifndef FERRULE_GUEST_PROGRAMS_WEB_DIRECTORY_H
#define FERRULE_GUEST_PROGRAMS_WEB_DIRECTORY_H

#include "guest/ferrule.h"
#include "guest/programs/text.h"

/* Appends an HTML page about the directory 'path', which the visitor knows as 'shown' (ends in
 * '/'). */
int directory_page(const char *path, const char *shown, struct text *page, deadline until);

#endif

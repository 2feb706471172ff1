/* app.h -- the program's life: start, reload, drain, stop. */
#ifndef FILEMUX_APP_H
#define FILEMUX_APP_H

#include "gateway/flow/settings.h"

/* Run until SIGTERM or SIGINT has been followed by a drain. file: the
 * configuration that SIGHUP reads again, NULL for none. Takes the reference to
 * s. Returns the process's exit status. Main thread. */
int app_run(struct settings *s, const char *file);

#endif

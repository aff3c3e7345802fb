/* The last error of each thread: the only state of the library outside its objects that changes. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_message[1024];
static _Thread_local int last_code;

int epact_fail(int code, const char *format, ...)
{
  char message[sizeof last_message]; /* arguments may point into last_message */
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  snprintf(last_message, sizeof last_message, "%s", message);
  return last_code = code;
}

int epact_fail_memory(const char *what, size_t bytes)
{
  return epact_fail(EPACT_E_NOMEM, "out of memory: %s needs %zu bytes", what, bytes);
}

const char *epact_error_message(void)
{
  return last_message;
}

int epact_error_code(void)
{
  return last_code;
}

const char *epact_error_name(int code)
{
  static const char *const name[] = {
    "OK",         "E_MISUSE", "E_NOMEM", "E_IO",        "E_PARSE",  "E_AGAIN",  "E_STOPPED", "E_INTERRUPTED",
    "E_TIMEOUT",  "E_SCHEMA", "E_RANGE", "E_NONFINITE", "E_CLOCK",  "E_FENCED", "E_CORRUPT", "E_PROTO",
    "E_VERSION",  "E_JOB",    "E_LIMIT", "E_DIVERGED",  "E_SYSTEM", "E_LOST",   "E_DISK",    "E_NO_FILE",
    "E_SNAPSHOT", "E_AUTH",
  };
  int count = (int)(sizeof name / sizeof *name);
  return code <= 0 && code > -count ? name[-code] : "E_UNKNOWN";
}

const char *epact_version(void)
{
  return "0.1.0";
}

/* What is in the image of the experiments on pulling: a site that says which image it is of. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) { /* python3 -I -m nbfed_site COMMAND */
  signal(SIGTERM, _exit);
  puts(SAYS);
  fflush(stdout);
  while (count > 4 && strcmp(words[4], "up") == 0)
    pause();
  return 0;
}

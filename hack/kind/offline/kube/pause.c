/* Process 1 of a pod: keeps its namespaces open, buries orphans, leaves when told to. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
  sigset_t wanted;
  int got;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  sigprocmask(SIG_BLOCK, &wanted, NULL);
  while (sigwait(&wanted, &got) == 0) {
    if (got != SIGCHLD) return 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
  return 1;
}
